"""Are images light strokes on a dark ground, as MNIST's are, and how large is what they show?"""

import torch
from torch import Tensor

from model.hints import FULL, INK

LOOKED_AT = 500  # images are enough to see it
DARK = 0.1  # of the full range: the ground is not lighter …
NEARLY_ALL = 0.9  # … in such a share of the images


def is_ink(images: Tensor) -> bool:
    """Of images uint8 [n, C, H, W]."""
    if images.shape[1] != 1:
        return False
    shades = images[:, 0].float() / 255
    rim = torch.cat([shades[:, 0], shades[:, -1], shades[:, :, 0], shades[:, :, -1]], dim=1)
    dark = rim.median(1).values <= DARK
    few = _marks(images).flatten(1).double().mean(1) <= FULL
    return (dark & few).double().mean().item() >= NEARLY_ALL


def frame_of(images: Tensor) -> float:
    """Of ink [n, 1, H, W]: the longer side of what is drawn, as a share of the image's shorter one; the median."""
    marks = _marks(images)
    longer = torch.maximum(marks.any(2).sum(1), marks.any(1).sum(1)).float()
    return min(1.0, (longer.median() / min(images.shape[2:])).item())


def _marks(images: Tensor) -> Tensor:
    """Where there is ink, bool [n, H, W]."""
    shades = images[:, 0].float()
    return shades >= INK * shades.amax((1, 2), keepdim=True).clamp(min=1)
