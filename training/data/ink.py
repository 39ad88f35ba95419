"""Are images light strokes on a dark ground, like MNIST's, and how large are the figures in them?"""

import torch
from torch import Tensor

from model.hints import FULL, INK

EXAMINED = 500  # images are enough to decide
DARK = 0.1  # share of the full range: the ground is at most this light …
NEARLY_ALL = 0.9  # … in at least this share of the images


def is_ink(images: Tensor) -> bool:
    """Are images uint8 [n, C, H, W] light strokes on a dark ground?"""
    if images.shape[1] != 1:
        return False
    shades = images[:, 0].float() / 255
    rim = torch.cat([shades[:, 0], shades[:, -1], shades[:, :, 0], shades[:, :, -1]], dim=1)
    dark = rim.median(1).values <= DARK
    few = _marks(images).flatten(1).double().mean(1) <= FULL
    return (dark & few).double().mean().item() >= NEARLY_ALL


def frame_of(images: Tensor) -> float:
    """The median size of the figures in images of ink [n, 1, H, W]: a figure's longer side as a share of the image's
    shorter side."""
    marks = _marks(images)
    longer = torch.maximum(marks.any(2).sum(1), marks.any(1).sum(1)).float()
    return min(1.0, (longer.median() / min(images.shape[2:])).item())


def _marks(images: Tensor) -> Tensor:
    """The pixels with ink, bool [n, H, W]."""
    shades = images[:, 0].float()
    return shades >= INK * shades.amax((1, 2), keepdim=True).clamp(min=1)
