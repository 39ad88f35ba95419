"""MNIST, where it is and where it is not."""

import pytest
from torchvision.datasets import MNIST

from training.data.digits import mnist_set
from training.data.training_set import DataError


def test_digits_that_cannot_be_downloaded_are_asked_for(tmp_path, monkeypatch):
    def offline(self):
        raise RuntimeError("Error downloading train-images-idx3-ubyte.gz")

    monkeypatch.setattr(MNIST, "download", offline)
    monkeypatch.setenv("SPIRALE_DATA_DIR", str(tmp_path))
    with pytest.raises(DataError, match=rf"not in {tmp_path}.*Error downloading.*set SPIRALE_DATA_DIR"):
        mnist_set()
