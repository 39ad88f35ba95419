"""Samples that are measured."""

from dataclasses import dataclass

from torch import Tensor

from model.checkpoint import Checkpoint, SamplingConfig
from training.generate import Steering


@dataclass(frozen=True, eq=False)
class Drawn:
    """Samples, images [n, C, H, W] in 0 … 255 or points [n, d], and the labels [n] that they were to have."""

    rows: Tensor
    labels: Tensor


def asks_for_labels(checkpoint: Checkpoint, options: SamplingConfig, steering: Steering | None) -> bool:
    """Whether samples can be read for what was asked: at scale 0 nothing is."""
    if steering is not None and steering.scale > 0:
        return True
    return bool(checkpoint.config.data.labels) and (steering is not None or options.guidance_scale > 0)
