"""The training sets: built in, or own data."""

from collections.abc import Callable, Mapping
from pathlib import Path

from torch import nn

from model.checkpoints.config import CheckpointConfig
from training.data.captioned_images import captioned_images
from training.data.captions import CaptionedSet
from training.data.data_section import PLACES, BuiltInSection, DataSection, ImageSection, TableSection, section_of
from training.data.decoded_images import image_set
from training.data.digit_captions import captioned_mnist
from training.data.digits import mnist_set
from training.data.synthetic_points import GaussianMixture, Spiral
from training.data.table import table_set
from training.data.training_set import DataError, TrainingSet

DATA_IDENTITY = "data_identity"  # `FiniteSet.identity` of what a checkpoint was trained on, in the recipe of its config

_BUILT_IN: Mapping[str, Callable[[], TrainingSet]] = {"gaussian": GaussianMixture, "spiral": Spiral, "mnist": mnist_set}


def training_set(section: DataSection) -> TrainingSet:
    """The set of a recipe's [data]. The first use downloads `mnist`, or decodes own images.

    Raises DataError if the data cannot be trained on.
    """
    if isinstance(section, BuiltInSection):
        return _BUILT_IN[section.dataset]()
    for field, path in _places(section).items():
        if not Path(path).exists():
            raise DataError(
                f"{path} is not there: if the data were moved, write their place into the recipe ({field} = …), and "
                f"into config.json of checkpoints that were trained on them"
            )
    return image_set(section) if isinstance(section, ImageSection) else table_set(section)


def trained_on(config: CheckpointConfig[nn.Module]) -> TrainingSet:
    """The set that a checkpoint was trained on, by the recipe in its config.

    Raises DataError if own data are no longer in their place, or others.
    """
    data = training_set(section_trained_on(config))
    _check_unchanged(config, data)
    return data


def has_changed_since(config: CheckpointConfig[nn.Module], data: TrainingSet) -> bool:
    """Are the rows of somebody's own data others than those that a checkpoint was trained on? Then what is held out now
    may be what it has learned."""
    known = config.recipe.get(DATA_IDENTITY)
    return known is not None and data.real is not None and data.real.identity != known


def _check_unchanged(config: CheckpointConfig[nn.Module], data: TrainingSet) -> None:
    if has_changed_since(config, data):
        raise DataError(
            f"{data.config.dataset} has changed since {config.name} was trained: what is held out now may be what it "
            f"has learned. Put the data back, or train it again"
        )


def section_trained_on(config: CheckpointConfig[nn.Module]) -> DataSection:
    """The [data] of a checkpoint's recipe; without a recipe, the built-in set of its dataset's name.

    Raises DataError if that is not known: of an imported checkpoint.
    """
    if "data" not in config.recipe and config.data.dataset not in _BUILT_IN:
        raise DataError(f"{config.name}: its config.json does not say what data it was trained on")
    return section_of(config.recipe.get("data", {"dataset": config.data.dataset}))


def data_are_here(config: CheckpointConfig[nn.Module]) -> bool:
    """Is there something where the recipe has its data? Data without a place of their own are made, or downloaded."""
    section = section_of(config.recipe["data"]) if "data" in config.recipe else None
    if section is None or isinstance(section, BuiltInSection):
        return True
    return all(Path(path).exists() for path in _places(section).values())


def _places(section: ImageSection | TableSection) -> dict[str, str]:
    """The field of each file or folder → where that is."""
    return section.model_dump(include=PLACES, exclude_none=True)


def mirrored(config: CheckpointConfig[nn.Module]) -> bool:
    """Were the training images of a checkpoint also mirrored?"""
    section = section_trained_on(config)
    return isinstance(section, ImageSection) and section.flip


def captioned_set(section: DataSection) -> CaptionedSet:
    """The set of a recipe's [data] with captions. Raises DataError if it has none."""
    if isinstance(section, ImageSection):
        return captioned_images(image_set(section))
    if section.dataset == "mnist":
        return captioned_mnist()
    raise DataError(f"{section.dataset} has no captions: there are some of mnist, and of your own images")


def captioned_as_trained(config: CheckpointConfig[nn.Module]) -> CaptionedSet:
    """The captioned set that a checkpoint was trained on. Raises DataError like `trained_on`, or if it has
    no captions."""
    data = captioned_set(section_trained_on(config))
    _check_unchanged(config, data)
    return data
