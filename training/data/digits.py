"""MNIST by torchvision, in SPIRALE_DATA_DIR (default ./data); it is downloaded if it is missing."""

import os

from torchvision.datasets import MNIST

from model.data import DataConfig
from training.data.training_set import DataError, Examples, FiniteSet

CONFIG = DataConfig(
    dataset="mnist",
    kind="images",
    shape=(1, 28, 28),
    labels=tuple(str(digit) for digit in range(10)),
    mean=(127.5,),
    std=(127.5,),
    clip=1.0,
)


def data_dir() -> str:
    return os.environ.get("SPIRALE_DATA_DIR", "data")


def mnist(train: bool) -> Examples:
    """The 60,000 training or the 10,000 test images, uint8 [n, 1, 28, 28], in memory: 47 MB.

    Raises DataError if they are missing and cannot be downloaded.
    """
    try:
        dataset = MNIST(data_dir(), train=train, download=True)
    except (OSError, RuntimeError) as error:  # without a network, or where nothing can be written
        raise DataError(
            f"mnist is not in {data_dir()}, and cannot be downloaded to it ({error}): set SPIRALE_DATA_DIR to the "
            f"folder that has MNIST/raw, or connect and give the command again"
        ) from error
    return Examples(dataset.data.unsqueeze(1), dataset.targets)


def mnist_set() -> FiniteSet:
    """The training images; the test images are held out."""
    return FiniteSet(CONFIG, mnist(train=True), mnist(train=False))
