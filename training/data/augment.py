"""Augmentation: small random changes of training rows. All of it is off by default."""

from collections.abc import Callable

import torch
from torch import Tensor

from model.hints import grey
from training.data.data_section import ImageSection
from training.data.training_set import unchanged

Augment = Callable[[Tensor, torch.Generator], Tensor]


def image_augmentation(section: ImageSection) -> Augment:
    """The augmentation of images float32 [n, C, H, W] in 0 … 255. Parts that are off take no random numbers."""
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


def point_augmentation(jitter: Tensor) -> Augment:
    """The augmentation of points float32 [n, d]: added normal noise of these standard deviations [d]."""
    if not jitter.any():
        return unchanged

    def augment(points: Tensor, generator: torch.Generator) -> Tensor:
        return points + jitter * torch.randn(points.shape, generator=generator)

    return augment


def flipped(images: Tensor, generator: torch.Generator) -> Tensor:
    """Half of the images [n, C, H, W], chosen at random, mirrored left to right."""
    mirrored = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(mirrored.view(-1, 1, 1, 1), images.flip(3), images)


def shifted(images: Tensor, pixels: int, generator: torch.Generator) -> Tensor:
    """Each image [n, C, H, W] moved by up to `pixels` whole pixels along both axes; border pixels fill the gap."""
    n, _, height, width = images.shape
    down, right = torch.randint(-pixels, pixels + 1, (2, n, 1), generator=generator)
    row = (torch.arange(height) - down).clamp(0, height - 1)
    column = (torch.arange(width) - right).clamp(0, width - 1)
    picked = images.gather(2, row.view(n, 1, height, 1).expand_as(images))
    return picked.gather(3, column.view(n, 1, 1, width).expand_as(images))


def recoloured(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Images [n, C, H, W] in 0 … 255 with brightness, contrast and (RGB) saturation scaled by random factors in
    1 ± strength, one of each per image."""
    n, channels = images.shape[:2]
    brightness, contrast, saturation = 1 + strength * (2 * torch.rand(3, n, 1, 1, 1, generator=generator) - 1)
    images = (images * brightness).clamp(0, 255)
    mean = images.mean((1, 2, 3), keepdim=True)
    images = ((images - mean) * contrast + mean).clamp(0, 255)
    if channels == 3:
        pale = grey(images).unsqueeze(1)
        images = ((images - pale) * saturation + pale).clamp(0, 255)
    return images
