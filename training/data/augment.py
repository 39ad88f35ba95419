"""Augmentation: what is drawn is changed a little. All of it is off unless a recipe asks for it."""

from collections.abc import Callable

import torch
from torch import Tensor

from model.hints import grey
from training.data.data_section import ImageSection
from training.data.training_set import unchanged

Augment = Callable[[Tensor, torch.Generator], Tensor]


def of_images(section: ImageSection) -> Augment:
    """Of images float32 [n, C, H, W] in 0 … 255. What is off draws nothing from the generator."""
    if not (section.flip or section.shift or section.colour):
        return unchanged

    def augment(images: Tensor, generator: torch.Generator) -> Tensor:
        if section.flip:
            images = flipped(images, generator)
        if section.shift:
            images = shifted(images, section.shift, generator)
        if section.colour:
            images = recoloured(images, section.colour, generator)
        return images

    return augment


def of_points(jitter: Tensor) -> Augment:
    """Normal noise of these standard deviations [d], added to points float32 [n, d]; none where all are 0."""
    if not jitter.any():
        return unchanged

    def augment(points: Tensor, generator: torch.Generator) -> Tensor:
        return points + jitter * torch.randn(points.shape, generator=generator)

    return augment


def flipped(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each mirrored left to right, or not, as often."""
    mirrored = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(mirrored.view(-1, 1, 1, 1), images.flip(3), images)


def shifted(images: Tensor, pixels: int, generator: torch.Generator) -> Tensor:
    """Each moved by whole pixels, up to so many down or up and right or left; its rim is drawn out."""
    n, _, height, width = images.shape
    down, right = torch.randint(-pixels, pixels + 1, (2, n, 1), generator=generator)
    row = (torch.arange(height) - down).clamp(0, height - 1)
    column = (torch.arange(width) - right).clamp(0, width - 1)
    picked = images.gather(2, row.view(n, 1, height, 1).expand_as(images))
    return picked.gather(3, column.view(n, 1, 1, width).expand_as(images))


def recoloured(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Brightness, contrast and, of colours, saturation, each times a factor of its own in 1 ± strength."""
    n, channels = images.shape[:2]
    brightness, contrast, saturation = 1 + strength * (2 * torch.rand(3, n, 1, 1, 1, generator=generator) - 1)
    images = (images * brightness).clamp(0, 255)
    mean = images.mean((1, 2, 3), keepdim=True)
    images = ((images - mean) * contrast + mean).clamp(0, 255)
    if channels == 3:
        pale = grey(images).unsqueeze(1)
        images = ((images - pale) * saturation + pale).clamp(0, 255)
    return images
