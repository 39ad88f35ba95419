"""LitServe with batching: PEER_BATCH requests at most, waited for PEER_WAIT seconds, on PEER_WORKERS workers."""

import os
import sys

import litserve
from fastapi import Response

from benchmarks.peers.shared_sampler import Request, Sampler


class Api(litserve.LitAPI):  # type: ignore[misc]  # LitServe is not installed where types are checked
    def setup(self, device: str) -> None:
        self.sampler = Sampler()

    def decode_request(self, request: Request) -> Request:
        return request

    def batch(self, inputs: list[Request]) -> list[Request]:
        return inputs

    def predict(self, batch: list[Request] | Request) -> list[bytes] | bytes:
        return self.sampler(batch) if isinstance(batch, list) else self.sampler([batch])[0]

    def unbatch(self, output: list[bytes]) -> list[bytes]:
        return output

    def encode_response(self, output: bytes) -> Response:
        return Response(output, media_type="image/png")


if __name__ == "__main__":
    batch = int(os.environ["PEER_BATCH"])
    api = Api(max_batch_size=batch, batch_timeout=float(os.environ["PEER_WAIT"]), api_path="/sample")
    server = litserve.LitServer(
        api, accelerator="cpu" if os.environ["PEER_DEVICE"] == "cpu" else "cuda", timeout=False,
        workers_per_device=int(os.environ["PEER_WORKERS"]),
    )  # fmt: skip
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
