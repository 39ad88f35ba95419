"""The training sets: built in, or somebody's own."""

from collections.abc import Mapping
from typing import Any, Protocol

from model.data import DataConfig
from training.data.captioned_images import captioned_images
from training.data.captions import CaptionedSet
from training.data.data_section import BuiltInSection, DataSection, ImageSection, section_of
from training.data.decoded_images import image_set
from training.data.digit_captions import captioned_mnist
from training.data.digits import mnist_set
from training.data.synthetic_points import GaussianMixture, Spiral
from training.data.table import table_set
from training.data.training_set import DataError, TrainingSet


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
    return training_set(section_trained_on(config))


def section_trained_on(config: _Config) -> DataSection:
    """Its recipe's [data]."""
    return section_of(config.recipe.get("data", {"dataset": config.data.dataset}))


def mirrored(config: _Config) -> bool:
    """Were the images that a checkpoint was trained on mirrored now and then?"""
    section = section_trained_on(config)
    return isinstance(section, ImageSection) and section.flip


def captioned_set(section: DataSection) -> CaptionedSet:
    """The same with what can be said of its rows. Raises DataError where nothing can."""
    if isinstance(section, ImageSection):
        return captioned_images(image_set(section))
    if section.dataset == "mnist":
        return captioned_mnist()
    raise DataError(f"{section.dataset} has no captions: there are some of mnist, and of your own images")


def captioned_as_trained(config: _Config) -> CaptionedSet:
    """What a checkpoint that reads words was trained on. Raises DataError."""
    return captioned_set(section_trained_on(config))
