"""Samples that are measured, and how they are drawn."""

from dataclasses import dataclass

import torch
from torch import Tensor

from model.checkpoints.denoiser import Checkpoint, Precision, SamplingConfig
from training.generate import Steering


@dataclass(frozen=True, eq=False)
class Drawn:
    """Samples, images [n, C, H, W] in 0 … 255 or points [n, d], and the labels [n] that they were to have."""

    rows: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Drawing:
    """Where samples are drawn, by which seed, in which precision, by compiled networks or not, and what steers them
    besides."""

    device: torch.device
    seed: int = 0
    precision: Precision = "float32"
    compile: bool = False
    steering: Steering | None = None

    @property
    def first(self) -> int:
        """The seed of the first sample, the next ones' follow: other seeds share none of them."""
        return self.seed * 2**32


def asks_for_labels(checkpoint: Checkpoint, options: SamplingConfig, steering: Steering | None) -> bool:
    """Whether samples can be read for what was asked: at scale 0 nothing is."""
    if steering is not None and steering.scale > 0:
        return True
    return bool(checkpoint.config.data.labels) and (steering is not None or options.guidance_scale > 0)
