"""The training sets, by name."""

from training.data.digits import mnist
from training.data.points import GaussianMixture, Spiral
from training.data.training_set import TrainingSet


def training_set(dataset: str) -> TrainingSet:
    """What a recipe's `data.dataset` names. `mnist` is fetched on its first use."""
    if dataset == "mnist":
        return mnist(train=True)
    return {"gaussian": GaussianMixture, "spiral": Spiral}[dataset]()
