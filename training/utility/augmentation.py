"""The classical augmentation that generated data compete with."""

import torch
from torch import Tensor
from torchvision.transforms import v2

from model.data import DataConfig
from training.data.augment import Augment, point_augmentation
from training.recipe import DistortionSection
from training.seeded import seeded
from training.tasks.judge import distort

PARTS = 8  # of a batch: each has its own operations of RandAugment
JITTER = 0.1  # of points, in standard deviations


def classical_augmentation(data: DataConfig, own: Augment) -> Augment:
    """(rows float32 [n, …] in the data's own units, generator) → augmented rows.

    own  the data's own augmentation, for example that they may be mirrored

    Images get a small affine map each, and half of the parts of a batch RandAugment (Cubuk 2020) with 2 operations of
    magnitude 9. Points get noise.
    """
    if data.kind == "points":
        return point_augmentation(JITTER * torch.tensor(data.std).expand(data.shape))
    chosen = v2.RandAugment(num_ops=2, magnitude=9)

    def augment(images: Tensor, generator: torch.Generator) -> Tensor:
        images = distort(own(images, generator), DistortionSection(), generator)
        seed = int(torch.randint(2**31, (), generator=generator))
        with seeded(seed):  # RandAugment draws from PyTorch's own generator
            parts = list(torch.chunk(images, PARTS))
            for number in range(0, len(parts), 2):
                parts[number] = chosen(parts[number].round().clamp(0, 255).to(torch.uint8)).float()
        return torch.cat(parts)

    return augment
