"""MNIST, as torchvision has it: from SPIRALE_DATA_DIR (default ./data), downloaded there where it is missing."""

import os
from dataclasses import dataclass

from torch import Tensor
from torchvision.datasets import MNIST

from model.data import DataConfig
from training.data.training_set import Examples, FiniteSet

CONFIG = DataConfig(
    dataset="mnist",
    kind="images",
    shape=(1, 28, 28),
    labels=tuple(str(digit) for digit in range(10)),
    mean=(127.5,),
    std=(127.5,),
    clip=1.0,
)


@dataclass(frozen=True, eq=False)
class Digits:
    """images uint8 [n, 1, 28, 28], labels int64 [n]; all in memory, it is 47 MB."""

    images: Tensor
    labels: Tensor
    config: DataConfig = CONFIG

    def __len__(self) -> int:
        return len(self.images)


def data_dir() -> str:
    return os.environ.get("SPIRALE_DATA_DIR", "data")


def mnist(train: bool) -> Digits:
    """The 60,000 training or the 10,000 test images."""
    dataset = MNIST(data_dir(), train=train, download=True)
    return Digits(dataset.data.unsqueeze(1), dataset.targets)


def mnist_set() -> FiniteSet:
    """The training images; the test images are held out."""
    train, test = mnist(train=True), mnist(train=False)
    return FiniteSet(CONFIG, Examples(train.images, train.labels), Examples(test.images, test.labels))
