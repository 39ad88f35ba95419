"""What every peer does with requests: the loop of `model.sampling_loop`, one batch for all with as many steps."""

import io
import os
from pathlib import Path
from typing import Final, TypedDict, get_args

import numpy as np
import torch
from PIL import Image

from model.checkpoints.base import Precision
from model.checkpoints.denoiser import load_checkpoint
from model.conditions import Conditions
from model.data import to_uint8
from model.noise import sample_seeds
from model.plan import cached_plan
from model.sampling_loop import sample

CHECKPOINT = Path(__file__).parents[2] / "checkpoints" / "mnist-cfg"
SAMPLER: Final = "ddim"


class Request(TypedDict):
    label: int
    steps: int
    seed: int


class Sampler:
    """device, precision and threads as the service has them; channels_last and inference mode as well."""

    def __init__(self) -> None:
        torch.set_num_threads(int(os.environ["PEER_THREADS"]))
        self.checkpoint = load_checkpoint(CHECKPOINT)
        precision = next(one for one in get_args(Precision) if one == os.environ["PEER_PRECISION"])
        self.denoiser = self.checkpoint.denoiser(os.environ["PEER_DEVICE"], precision)
        self([{"label": 0, "steps": 2, "seed": 0}])

    def __call__(self, requests: list[Request]) -> list[bytes]:
        """{"label", "steps", "seed"} each → a PNG each. Requests with other step counts cannot share a batch."""
        pictures: dict[int, bytes] = {}
        for steps in {request["steps"] for request in requests}:
            members = [index for index, request in enumerate(requests) if request["steps"] == steps]
            plan = cached_plan(self.checkpoint.schedule, SAMPLER, steps)
            labels = torch.tensor([requests[index]["label"] for index in members])
            seeds = torch.cat([torch.from_numpy(sample_seeds(requests[index]["seed"], 1)) for index in members])
            conditions = Conditions(labels, torch.ones(len(members)))
            data = self.checkpoint.config.data
            images = to_uint8(data.restore(sample(self.denoiser, plan, conditions, seeds, data.shape)))
            pictures |= dict(zip(members, map(_png, images), strict=True))
        return [pictures[index] for index in range(len(requests))]


def _png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()
