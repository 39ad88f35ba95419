"""Samples that are measured, and how they are drawn."""

from dataclasses import dataclass

import torch
from torch import Tensor

from model.checkpoints.base import Precision
from model.checkpoints.config import SamplingConfig
from model.checkpoints.denoiser import DenoiserCheckpoint
from training.generate import Guidance


@dataclass(frozen=True, eq=False)
class Generated:
    """Samples, images [n, C, H, W] in 0 … 255 or points [n, d], and the labels [n] that they were to have."""

    rows: Tensor
    labels: Tensor


@dataclass(frozen=True)
class SamplingRun:
    """Where samples are drawn, by which seed, in which precision, by compiled networks or not, and what steers them
    besides."""

    device: torch.device
    seed: int = 0
    precision: Precision = "float32"
    compile: bool = False
    guidance: Guidance | None = None

    @property
    def first(self) -> int:
        """The seed of the first sample, the next ones' follow: other seeds share none of them."""
        return self.seed * 2**32


def asks_for_labels(checkpoint: DenoiserCheckpoint, options: SamplingConfig, guidance: Guidance | None) -> bool:
    """Whether samples can be read for what was asked: at scale 0 nothing is."""
    if guidance is not None and guidance.scale > 0:
        return True
    return bool(checkpoint.config.data.labels) and (guidance is not None or options.guidance_scale > 0)
