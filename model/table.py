"""A table's columns, and the dimensions of points that they are encoded in: numbers, dates and categories, with missing
values. A network sees dimensions; people see columns."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor

from model.measured_columns import Cell, CellError, Column, DateColumn, NumberColumn

BOOLEANS: Mapping[str, bool] = {"true": True, "false": False}
"""By its word in small letters."""
LISTED = 20  # categories that an error lists


class CategoryColumn(Column):
    """A dimension for each category, 1 where it is this one and else 0; one more where values are missing.

    boolean  the categories are true and false, in any case
    """

    kind: Literal["category"] = "category"
    categories: tuple[str, ...] = Field(min_length=1)
    missing: bool = False
    boolean: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.categories)) != len(self.categories):
            raise ValueError(f"{self.name}: categories are all different")
        if self.boolean and any(category.lower() not in BOOLEANS for category in self.categories):
            raise ValueError(f"{self.name}: a boolean column has the categories true and false")
        return self

    @property
    def dimensions(self) -> tuple[str, ...]:
        own = tuple(f"{self.name}={category}" for category in self.categories)
        return (*own, f"{self.name} missing") if self.missing else own

    def snapped(self, x: Tensor) -> Tensor:
        """Generated values [n, k] → 1 in the dimension that had the most, 0 in the others."""
        return torch.nn.functional.one_hot(x.argmax(1), x.shape[1]).to(x.dtype)

    def encoded(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Numbers of categories [n], NaN where they are missing → [n, k]."""
        index = np.where(np.isnan(values), len(self.categories), values).astype(np.int64)
        hot: NDArray[np.float64] = np.eye(len(self.dimensions))[index]
        return hot

    def cells(self, x: NDArray[np.floating]) -> list[Cell]:
        """Snapped values [n, k] → categories, or None."""
        cells: list[Cell] = [BOOLEANS[name.lower()] if self.boolean else name for name in self.categories]
        cells.append(None)
        return [cells[index] for index in x.argmax(1).tolist()]

    def dimensions_of(self, cell: Cell) -> tuple[float, ...]:
        """Raises CellError."""
        index = self._index_of(cell)
        return tuple(float(place == index) for place in range(len(self.dimensions)))

    def _index_of(self, cell: Cell) -> int:
        if cell is None and self.missing:
            return len(self.categories)
        names = [name.lower() if self.boolean else name for name in self.categories]
        wanted = str(cell).lower() if self.boolean else str(cell)
        if cell is None or wanted not in names:
            some = ", ".join(self.categories[:LISTED]) + (" …" if len(self.categories) > LISTED else "")
            raise CellError(f"one of {some}" + (", or null" if self.missing else ""))
        return names.index(wanted)


class LabelColumn(Column):
    """Where the table has its classes, which are labels and no dimension."""

    kind: Literal["label"] = "label"
    written: Literal["text", "whole", "boolean"] = "text"

    @property
    def dimensions(self) -> tuple[str, ...]:
        return ()

    def cells_of(self, labels: Sequence[str]) -> list[Cell]:
        """Names of classes as the table has them."""
        if self.written == "whole":
            return [int(label) for label in labels]
        return [BOOLEANS[label.lower()] for label in labels] if self.written == "boolean" else list(labels)


EncodedColumn = NumberColumn | DateColumn | CategoryColumn
TableColumn = Annotated[EncodedColumn | LabelColumn, Field(discriminator="kind")]


def encoded_columns(columns: Sequence[TableColumn]) -> list[tuple[EncodedColumn, slice]]:
    """The columns that have dimensions, each with its place among these."""
    found: list[tuple[EncodedColumn, slice]] = []
    start = 0
    for column in columns:
        if not isinstance(column, LabelColumn):
            found.append((column, slice(start, start + len(column.dimensions))))
            start += len(column.dimensions)
    return found


def snapped(columns: Sequence[TableColumn], points: Tensor) -> Tensor:
    """Generated points [n, d] in the data's own units → the nearest that such a table can have."""
    return torch.cat([column.snapped(points[:, place]) for column, place in encoded_columns(columns)], dim=1)


def decoded(
    columns: Sequence[TableColumn], points: NDArray[np.floating], labels: Sequence[str] | None
) -> dict[str, list[Cell]]:
    """Snapped points [n, d] → the table: by the name of each column, in the training table's order, its values.

    labels  of the rows; the column of labels is left out without them
    """
    places = {column.name: place for column, place in encoded_columns(columns)}
    table: dict[str, list[Cell]] = {}
    for column in columns:
        if not isinstance(column, LabelColumn):
            table[column.name] = column.cells(points[:, places[column.name]])
        elif labels is not None:
            table[column.name] = column.cells_of(labels)
    return table
