"""Random masks of what is known of an image, to train inpainting on: as people erase, and as they uncrop."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

SMALLEST, LARGEST = 0.25, 0.85  # of the image's sides: an erased box
KNOTS = 4  # patches are where smooth noise with so many values a side is high
SHARE = (0.15, 0.7)  # of the image: what patches cover


def random_kept(n: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """[n, 1, H, W] bool: the pixels that are known. Equally often one side of a random straight line is erased, or a
    box, or patches."""
    kinds = torch.stack([erase(n, height, width, generator) for erase in (_side, _box, _patches)])
    return ~kinds[torch.randint(len(kinds), (n,), generator=generator), torch.arange(n)].unsqueeze(1)


def _side(n: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """[n, H, W] bool: one side of a line near the middle. Half of the lines are upright or level."""
    angle = 2 * math.pi * torch.rand(n, generator=generator)
    quarter = math.pi / 2
    straight = torch.rand(n, generator=generator) < 0.5
    angle = torch.where(straight, (angle / quarter).round() * quarter, angle).view(n, 1, 1)
    down, across = _places(height, width)
    return angle.cos() * across + angle.sin() * down > 0.25 * torch.randn(n, 1, 1, generator=generator)


def _box(n: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """[n, H, W] bool: a box that lies within the image."""
    side = SMALLEST + (LARGEST - SMALLEST) * torch.rand(n, 2, generator=generator)
    middle = (1 - side) * (2 * torch.rand(n, 2, generator=generator) - 1)
    (tall, wide), (y, x) = (pair.view(n, 2, 1, 1).unbind(1) for pair in (side, middle))
    down, across = _places(height, width)
    return ((down - y).abs() < tall) & ((across - x).abs() < wide)


def _patches(n: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """[n, H, W] bool: where smooth noise is high."""
    noise = torch.randn(n, 1, KNOTS, KNOTS, generator=generator)
    smooth = F.interpolate(noise, (height, width), mode="bicubic", align_corners=True)[:, 0]
    share = SHARE[0] + (SHARE[1] - SHARE[0]) * torch.rand(n, generator=generator)
    ranks = smooth.flatten(1).argsort(1).argsort(1).view_as(smooth)
    return ranks >= ((1 - share) * height * width).view(n, 1, 1)


def _places(height: int, width: int) -> tuple[Tensor, Tensor]:
    """How far down [H, 1] and across [1, W] the pixels lie, −1 … 1."""
    down, across = (((torch.arange(side) + 0.5) / side * 2 - 1) for side in (height, width))
    return down.unsqueeze(1), across.unsqueeze(0)
