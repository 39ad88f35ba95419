"""What the rows of a data set are, and how they get into a network's range and out of it."""

import math
from typing import Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from model.strict_config import StrictConfig
from model.table import CategoryColumn, TableColumn, encoded_columns, snapped

MAX_SIDE = 512  # pixels of an image
MAX_NAME = 64  # characters of the name of data, which requests ask for
MAX_DIMENSIONS = 64  # of points, or columns of a table …
MAX_ENCODED = 512  # … and dimensions that these are encoded in
FINE = 1000  # |mean|/std of points beyond which float32 does not hold their differences well
FINEST = 1e-30  # standard deviation …
LARGEST = 1e30  # … and number with which float32 can still compute
COLUMNS = {1: ("x",), 2: ("x", "y")}  # what dimensions are called that have no names; of more: x0, x1, …


class DataConfig(StrictConfig):
    """What the rows are. A network sees (x − mean)/std; `clip` bounds |x̂0| in that range.

    labels  the classes' names, in the order of their numbers
    names   of the dimensions of points, where the data has names for them
    mean, std  one for all, or one for each channel or dimension. One std for all dimensions of points says that they
            are measured in one unit
    table   what columns the dimensions of points are an encoding of; empty where each dimension is a column of numbers
    """

    dataset: str = Field(min_length=1, max_length=MAX_NAME)
    kind: Literal["points", "images"]
    shape: tuple[int, ...] = Field(min_length=1, max_length=3)
    labels: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    clip: float | None = Field(None, gt=0)
    table: tuple[TableColumn, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> "DataConfig":
        if len(self.shape) != (1 if self.kind == "points" else 3):
            raise ValueError("points have the shape (d,), images (channels, height, width)")
        if any(side < 1 for side in self.shape) or any(std <= 0 for std in self.std):
            raise ValueError("sides and std must be positive")
        if self.kind == "images" and max(self.shape[1:]) > MAX_SIDE:
            raise ValueError(f"images have sides of at most {MAX_SIDE} pixels, not {max(self.shape[1:])}")
        if self.kind == "images" and self.shape[0] not in (1, 3):
            raise ValueError(f"images have 1 or 3 channels, not {self.shape[0]}")
        most = MAX_ENCODED if self.table else MAX_DIMENSIONS
        if self.kind == "points" and self.shape[0] > most:
            raise ValueError(f"points have at most {most} dimensions, not {self.shape[0]}")
        if self.table and self.names != tuple(name for column in self.table for name in column.dimensions):
            raise ValueError("names are those of the dimensions of the table's columns")
        if self.table and not encoded_columns(self.table):
            raise ValueError("a table has a column besides that of its labels")
        if len(set(self.labels)) != len(self.labels) or len(set(self.names)) != len(self.names):
            raise ValueError("labels, and names, are all different")
        if self.names and (self.kind != "points" or len(self.names) != self.shape[0]):
            raise ValueError("names are of points, one for each dimension")
        if not all(math.isfinite(value) for value in (*self.mean, *self.std)):
            raise ValueError("mean and std must be finite")
        if not all(FINEST <= std <= LARGEST for std in self.std) or any(abs(mean) > LARGEST for mean in self.mean):
            raise ValueError(f"std is {FINEST:g} … {LARGEST:g}, and mean within ±{LARGEST:g}: float32 holds no more")
        for name in ("mean", "std"):
            if len(getattr(self, name)) not in (1, self.shape[0]):
                raise ValueError(f"{name} has one value, or one for each of the {self.shape[0]} channels")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """What the dimensions of points are called."""
        (d,) = self.shape
        return self.names or COLUMNS.get(d) or tuple(f"x{i}" for i in range(d))

    @property
    def axes(self) -> tuple[int, ...]:
        """The dimensions, two or one, that a picture of points shows by default: of numbers and dates first, where the
        others are categories or say what is missing. None of images."""
        if self.kind != "points":
            return ()
        measured = [place.start for one, place in encoded_columns(self.table) if not isinstance(one, CategoryColumn)]
        others = [axis for axis in range(len(self.columns)) if axis not in measured]
        return tuple([*measured, *others][:2])

    @property
    def one_unit(self) -> bool:
        """Are all dimensions of points measured in the same unit?"""
        return len(self.std) == 1

    @property
    def needs_float64(self) -> bool:
        """Would float32 merge points: those that are as far from 0, for their spread, as timestamps, or values that a
        column of the table tells apart?"""
        if self.kind != "points":
            return False
        if any(column.needs_float64 for column in self.table):
            return True
        d = self.shape[0]
        mean, std = (values * d if len(values) == 1 else values for values in (self.mean, self.std))
        return any(abs(m) > FINE * s for m, s in zip(mean, std, strict=True))

    def standardise(self, data: Tensor) -> Tensor:
        """The data's own units [rows, …], float32 or float64 → the network's range, float32."""
        return ((data - self._per_channel(self.mean, data)) / self._per_channel(self.std, data)).float()

    def restore(self, x: Tensor) -> Tensor:
        """The network's range [rows, …] → the data's own units, float32; images are 0 … 255. Of a table they are values
        that its columns can have.

        Where `needs_float64`, float64 on the CPU: not every device computes in it.
        """
        if self.needs_float64:
            x = x.cpu().double()
        restored = x * self._per_channel(self.std, x) + self._per_channel(self.mean, x)
        return snapped(self.table, restored) if self.table else restored

    @staticmethod
    def _per_channel(values: tuple[float, ...], like: Tensor) -> Tensor:
        return torch.tensor(values, dtype=_floating(like), device=like.device).view(-1, *[1] * (like.dim() - 2))


def _floating(like: Tensor) -> torch.dtype:
    return torch.float64 if like.dtype == torch.float64 else torch.float32


def to_uint8(images: Tensor) -> np.ndarray:
    """[rows, C, H, W] in 0 … 255 → uint8 [rows, H, W] where C is 1, else [rows, H, W, C]."""
    pixels = images.round().clamp(0, 255).to(torch.uint8).cpu().permute(0, 2, 3, 1).numpy()
    return pixels[..., 0] if pixels.shape[-1] == 1 else pixels
