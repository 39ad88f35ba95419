"""The training sets, by name."""

from training.data.captions import CaptionedDigits, captioned_mnist
from training.data.digits import mnist
from training.data.points import GaussianMixture, Spiral
from training.data.training_set import TrainingSet


def training_set(dataset: str) -> TrainingSet:
    """What a recipe's `data.dataset` names. `mnist` is fetched on its first use."""
    if dataset == "mnist":
        return mnist(train=True)
    return {"gaussian": GaussianMixture, "spiral": Spiral}[dataset]()


def captioned_set(dataset: str) -> CaptionedDigits:
    """The same with traits to make captions of. Raises ValueError where nothing can be said of the data."""
    if dataset != "mnist":
        raise ValueError(f"there are captions of mnist only, not of {dataset}")
    return captioned_mnist(train=True)
