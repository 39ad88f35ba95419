"""The columns of a table that is encoded in dimensions: how its cells are read, and what is learned of them."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from model.measured_columns import DAY, DateColumn, DateFormat, NumberColumn
from model.table import BOOLEANS, CategoryColumn, EncodedColumn, LabelColumn, TableColumn, encoded_columns
from training.data.data_section import TableSection
from training.data.names import natural
from training.data.numerals import is_missing

MISSING = math.nan
SPREAD = 0.5  # deviation by which dimensions of 0 and 1 are scaled: rare categories would be far away by their own

Reader = Callable[[str], float | None]
"""A cell → the number that stands for it, NaN where it is missing; None where it cannot be used."""


@dataclass(frozen=True)
class Categories:
    """Numbers cells in the order in which they come; `codes` are those so far."""

    codes: dict[str, float]

    def read(self, cell: str) -> float:
        return MISSING if is_missing(cell) else self.codes.setdefault(cell, float(len(self.codes)))


def date_format(cells: Sequence[str]) -> DateFormat | None:
    """The one format in which all of the cells are dates; None where there is none."""
    for form in get_args(DateFormat):
        if cells and all(_date(cell, form) is not None for cell in cells):
            found: DateFormat = form
            return found
    return None


def date_reader(form: DateFormat, missing: bool) -> Reader:
    """Dates as days since year 1."""

    def read(cell: str) -> float | None:
        if is_missing(cell):
            return MISSING if missing else None
        return _date(cell, form)

    return read


def number_reader(value: Reader, missing: bool) -> Reader:
    """`value` reads a number."""
    return lambda cell: MISSING if missing and is_missing(cell) else value(cell)


def label_column(name: str, labels: Sequence[str]) -> LabelColumn:
    """`labels` are the classes' names."""
    if all(label.lower() in BOOLEANS for label in labels):
        return LabelColumn(name=name, written="boolean")
    whole = all(label.removeprefix("-").isdecimal() and str(int(label)) == label for label in labels)
    return LabelColumn(name=name, written="whole" if whole else "text")


@dataclass(frozen=True)
class TableEncoding:
    """What is known of the columns that are trained on, by their names.

    formats     of columns of dates
    categories  what the numbers of columns of categories stand for
    """

    section: TableSection
    formats: Mapping[str, DateFormat]
    categories: Mapping[str, Categories]

    def in_order(self, names: Sequence[str], numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rows [n, columns] whose categories have numbers in the order of their words, and not of the lines."""
        numbers = numbers.copy()
        for index, name in enumerate(names):
            if name in self.categories:
                codes = self.categories[name].codes
                ranks = {word: float(rank) for rank, word in enumerate(sorted(codes, key=natural))}
                rank_of = {code: ranks[word] for word, code in codes.items()}
                numbers[:, index] = [
                    value if math.isnan(value) else rank_of[value] for value in numbers[:, index].tolist()
                ]
                codes.update(ranks)
        return numbers

    def columns(self, names: Sequence[str], trained: NDArray[np.float64]) -> list[EncodedColumn]:
        """The columns as the training rows [n, columns] have them, numbers as the readers gave them."""
        return [self._column(name, values) for name, values in zip(names, trained.T, strict=True)]

    def _column(self, name: str, values: NDArray[np.float64]) -> EncodedColumn:
        present, missing = values[~np.isnan(values)], bool(np.isnan(values).any())
        if name in self.categories:
            codes = set(present.tolist())
            words = sorted((word for word, code in self.categories[name].codes.items() if code in codes), key=natural)
            boolean = bool(words) and all(word.lower() in BOOLEANS for word in words)
            return CategoryColumn(name=name, categories=tuple(words), missing=missing, boolean=boolean)
        if name in self.formats:
            origin = datetime.fromordinal(int(present.min()))
            days = present - origin.toordinal()
            low, high, fill = _range(days)
            return DateColumn(
                name=name,
                format=self.formats[name],
                origin=origin.isoformat(),
                low=low,
                high=high,
                missing=missing,
                fill=fill,
            )
        whole = name in self.section.whole
        low, high, fill = _range(present, whole)
        return NumberColumn(name=name, whole=whole, low=low, high=high, missing=missing, fill=fill)

    def encoded(self, columns: Sequence[EncodedColumn], numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rows [n, columns] as the readers gave them → points [n, d]."""
        parts = [column.encoded(self._own(column, values)) for column, values in zip(columns, numbers.T, strict=True)]
        return np.concatenate(parts, axis=1)

    def _own(self, column: EncodedColumn, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The numbers that the column encodes."""
        if isinstance(column, DateColumn):
            return values - datetime.fromisoformat(column.origin).toordinal()
        if not isinstance(column, CategoryColumn):
            return values
        codes = self.categories[column.name].codes
        index = {codes[word]: float(place) for place, word in enumerate(column.categories)}
        return np.array([value if math.isnan(value) else index[value] for value in values.tolist()])


def unseen_in_training(
    numbers: NDArray[np.float64], held: NDArray[np.bool_], categories: Sequence[bool]
) -> NDArray[np.bool_]:
    """Which rows have a category, a missing value, or any value, where no row that is trained on has one: bool [n].

    numbers     [n, columns]
    held        [n], the rows that are held out
    categories  whether a column is one of categories
    """
    unseen = np.zeros(len(numbers), dtype=bool)
    for column, of_categories in zip(numbers.T, categories, strict=True):
        gone = np.isnan(column)
        if gone.any() and not gone[~held].any():
            unseen |= gone
        if gone[~held].all():
            unseen |= ~gone
        if of_categories:
            unseen |= ~gone & ~np.isin(column, column[~held])
    return unseen


def scales(columns: Sequence[TableColumn], points: NDArray[np.float64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(mean, standard deviation) of the dimensions of the training points [n, d], the mean to a millionth of the
    deviation. Dimensions of 0 and 1 share SPREAD, so that all categories are as far from one another."""
    means, deviations = points.mean(0), np.full(points.shape[1], SPREAD)
    for column, place in encoded_columns(columns):
        if not isinstance(column, CategoryColumn):
            deviations[place.start] = points[:, place.start].std() or 1.0  # one value, and missing ones
    decimals = [6 - math.floor(math.log10(deviation)) for deviation in deviations.tolist()]
    mean = tuple(round(value, digits) for value, digits in zip(means.tolist(), decimals, strict=True))
    return mean, tuple(float(f"{value:.6g}") for value in deviations.tolist())


def _range(present: NDArray[np.float64], whole: bool = False) -> tuple[float, float, float]:
    """(least, most, what stands for a missing one)"""
    low, high, mean = float(present.min()), float(present.max()), float(present.mean())
    fill = float(round(mean)) if whole else float(f"{mean:.6g}")
    return low, high, min(max(fill, low), high)


def _date(cell: str, form: str) -> float | None:
    """Days since year 1, with the part of the day."""
    try:
        return datetime.min.toordinal() + (datetime.strptime(cell, form) - datetime.min) / DAY
    except ValueError:
        return None
