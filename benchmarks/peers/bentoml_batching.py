"""BentoML with adaptive batching: PEER_BATCH requests at most, on PEER_WORKERS workers."""

import base64
import os

import bentoml
from pydantic import BaseModel

from benchmarks.peers.shared_sampler import Request, Sampler


class Body(BaseModel):
    label: int
    steps: int
    seed: int


@bentoml.service(traffic={"timeout": 600}, workers=int(os.environ["PEER_WORKERS"]))
class Peer:
    def __init__(self) -> None:
        self.sampler = Sampler()

    # The latency asked for is long: past it BentoML gives requests up instead of answering them late.
    @bentoml.api(batchable=True, max_batch_size=int(os.environ["PEER_BATCH"]), max_latency_ms=600_000, route="/sample")
    def sample(self, bodies: list[Body]) -> list[str]:
        return [
            base64.b64encode(png).decode()
            for png in self.sampler([Request(label=body.label, steps=body.steps, seed=body.seed) for body in bodies])
        ]
