"""What every reader of a foreign model is asked, and what it returns."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor

from model.checkpoints.denoiser import DenoiserConfig
from model.checkpoints.weights import CheckpointError
from model.data import MAX_SIDE

SMALLEST = 4  # pixels a side; the largest is MAX_SIDE
MOST_CLASSES = 100_000


class ImportRefused(CheckpointError):
    """A model that cannot be imported; the message names what does not fit, and what to do."""


@dataclass(frozen=True)
class ImportOptions:
    """What a model's files do not say.

    name        of the checkpoint
    dataset     that requests name; None is the checkpoint's name
    labels      names of the classes, without the null class; None is their numbers
    null_class  the class that means no label, of a model with classes
    size        (height, width) of the images; None is what the files say
    flags       of openai's scripts, as on their command line
    scheduler   a diffusers scheduler_config.json, or its folder, for a network that comes without one
    timesteps   of a consistency model: those that a run of so many steps visits, as diffusers numbers them
    """

    name: str
    dataset: str | None = None
    labels: tuple[str, ...] | None = None
    null_class: int | None = None
    size: tuple[int, int] | None = None
    scheduler: Path | None = None
    flags: str | None = None
    timesteps: tuple[int, ...] | None = None

    def refuse(self, path: Path, *unread: Literal["null_class", "flags", "scheduler", "timesteps"]) -> None:
        """Raises ImportRefused where an option is given that says nothing of the model at `path`."""
        for name in unread:
            if getattr(self, name) is not None:
                raise ImportRefused(f"--{name.replace('_', '-')}: says nothing of {path}: leave it away")


@dataclass(frozen=True, eq=False)
class ImportedModel:
    """
    config   of the checkpoint to be
    weights  of the network that `config` describes, by its own names
    notes    sentences on what was assumed, or is worth knowing
    """

    config: DenoiserConfig
    weights: Mapping[str, Tensor]
    notes: tuple[str, ...] = ()


def class_names(classes: object, options: ImportOptions) -> tuple[str, ...]:
    """Names of a network's classes, without the null class; `classes` is how many, as a file says. Raises
    ImportRefused."""
    if not isinstance(classes, int) or not 0 <= classes <= MOST_CLASSES:
        raise ImportRefused(f"its network reads {classes} classes: supported are at most {MOST_CLASSES:,}")
    if options.null_class is not None and options.null_class >= classes:
        there_are = f"there are {classes}, from 0" if classes else "the network reads no class"
        raise ImportRefused(f"--null-class {options.null_class}: {there_are}")
    numbers = [number for number in range(classes) if number != options.null_class]
    if options.labels is None:
        return tuple(map(str, numbers))
    if not all(options.labels):
        raise ImportRefused("--labels: one of the names is empty")
    if len(options.labels) != len(numbers):
        raise ImportRefused(f"--labels: {len(options.labels)} names for {len(numbers)} classes")
    return options.labels


def label_shares(labels: tuple[str, ...], null_class: int | None) -> tuple[float, ...]:
    """Of a network without an unconditional half: each label alike, as the proportions of its training are unknown."""
    return (1 / len(labels),) * len(labels) if labels and null_class is None else ()


def image_size(options: ImportOptions, size: object, path: Path) -> tuple[int, int]:
    """(height, width): the option's, else `size`, a number or two, as the files at `path` say. Raises ImportRefused."""
    size = options.size or size
    if size is None:
        raise ImportRefused(f"{path}: does not say the images' size, as sample_size: give it by --size")
    sides = tuple(size) if isinstance(size, list | tuple) else (size, size)
    if len(sides) != 2 or not all(isinstance(side, int) and SMALLEST <= side <= MAX_SIDE for side in sides):
        raise ImportRefused(f"{path}: images of {size} pixels: sides are {SMALLEST} … {MAX_SIDE}")
    return sides[0], sides[1]
