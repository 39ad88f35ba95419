"""The training sets: built in, or somebody's own."""

from collections.abc import Mapping
from typing import Any, Protocol

from model.data import DataConfig
from training.data.captions import CaptionedDigits, captioned_mnist
from training.data.digits import mnist_set
from training.data.images import image_set
from training.data.points import GaussianMixture, Spiral
from training.data.section import BuiltInSection, DataSection, ImageSection, section_of
from training.data.table import table_set
from training.data.training_set import TrainingSet


class _Config(Protocol):
    """A checkpoint's."""

    data: DataConfig
    recipe: Mapping[str, Any]


def training_set(section: DataSection) -> TrainingSet:
    """What a recipe's [data] asks for. `mnist` is fetched on its first use; images are decoded on theirs.

    Raises DataError where it cannot be trained on.
    """
    if isinstance(section, BuiltInSection):
        return {"gaussian": GaussianMixture, "spiral": Spiral, "mnist": mnist_set}[section.dataset]()
    return image_set(section) if isinstance(section, ImageSection) else table_set(section)


def trained_on(config: _Config) -> TrainingSet:
    """What a checkpoint was trained on, by its config.json: its recipe's [data], or the built-in set of that name.

    Raises DataError where own data are no longer where they were.
    """
    return training_set(section_of(config.recipe.get("data", {"dataset": config.data.dataset})))


def captioned_set(section: DataSection) -> CaptionedDigits:
    """The same with traits to make captions of. Raises ValueError where nothing can be said of the data."""
    if section.dataset != "mnist":
        raise ValueError(f"there are captions of mnist only, not of {section.dataset}")
    return captioned_mnist(train=True)
