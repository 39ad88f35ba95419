"""LitServe with batching: PEER_BATCH requests at most, waited for PEER_WAIT seconds, on PEER_WORKERS workers."""

import os
import sys

import litserve
from fastapi import Response

from benchmarks.peers.work import Sampler


class Api(litserve.LitAPI):
    def setup(self, device):
        self.sampler = Sampler()

    def decode_request(self, request):
        return request

    def batch(self, inputs):
        return inputs

    def predict(self, batch):
        return self.sampler(batch) if isinstance(batch, list) else self.sampler([batch])[0]

    def unbatch(self, output):
        return output

    def encode_response(self, output):
        return Response(output, media_type="image/png")


if __name__ == "__main__":
    batch = int(os.environ["PEER_BATCH"])
    api = Api(max_batch_size=batch, batch_timeout=float(os.environ["PEER_WAIT"]), api_path="/sample")
    server = litserve.LitServer(
        api, accelerator="cpu" if os.environ["PEER_DEVICE"] == "cpu" else "cuda", timeout=False,
        workers_per_device=int(os.environ["PEER_WORKERS"]),
    )  # fmt: skip
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
