"""Columns of numbers and of dates, missing values among them: a dimension of points for each, or two."""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat, model_validator
from torch import Tensor

from model.strict_config import StrictConfig

Cell = str | int | float | bool | None
"""A value of a decoded table; None is a missing one."""

DateFormat = Literal[
    "%Y-%m-%d",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%dT%H:%M:%S",
    "%Y/%m/%d",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d %H:%M:%S",
    "%d.%m.%Y",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y %H:%M:%S",
]
DAY = timedelta(days=1)
FLOAT32_DIGITS = 24  # binary ones
HALF = 0.5


class CellError(ValueError):
    """A value that a column cannot have; the message says what it may be."""


def number_of(cell: Cell) -> float:
    """A finite number. Raises CellError."""
    try:
        number = math.nan if cell is None or isinstance(cell, str | bool) else float(cell)
    except OverflowError:
        number = math.nan
    if not math.isfinite(number):
        raise CellError("a number")
    return number


class Column(StrictConfig):
    name: str = Field(min_length=1)

    @property
    def needs_float64(self) -> bool:
        """Would float32 merge values that the column tells apart?"""
        return False


class _Measured(Column):
    """A column of numbers: a dimension, and where values are missing another one, of 0 and 1.

    low, high  the least and the most in the training table: nothing beyond is drawn
    missing    some values are missing in the training table
    fill       stands for a missing value: the mean
    """

    low: FiniteFloat
    high: FiniteFloat
    missing: bool = False
    fill: FiniteFloat = 0.0

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low <= self.fill <= self.high:
            raise ValueError(f"{self.name}: low ≤ fill ≤ high, got {self.low:g}, {self.fill:g}, {self.high:g}")
        return self

    @property
    def unit(self) -> float:
        """The least difference of two values; infinite where the column has none."""
        return math.inf

    @property
    def needs_float64(self) -> bool:
        _, exponent = math.frexp(max(abs(self.low), abs(self.high)))
        return math.ldexp(1, exponent - FLOAT32_DIGITS) > self.unit

    @property
    def dimensions(self) -> tuple[str, ...]:
        return (self.name, f"{self.name} missing") if self.missing else (self.name,)

    def snapped(self, x: Tensor) -> Tensor:
        """Generated values [n, k] → the nearest that the column can have."""
        value = x[:, :1].clamp(self.low, self.high)
        if not self.missing:
            return value
        gone = x[:, 1:] > HALF
        return torch.cat([torch.where(gone, torch.full_like(value, self.fill), value), gone.to(x.dtype)], dim=1)

    def encoded(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Numbers [n], NaN where they are missing → [n, k]."""
        if not self.missing:
            return values[:, None]
        gone = np.isnan(values)
        return np.stack([np.where(gone, self.fill, values), gone.astype(np.float64)], axis=1)

    def _present(self, x: NDArray[np.floating]) -> list[bool]:
        present: list[bool] = (x[:, 1] <= HALF).tolist() if self.missing else [True] * len(x)
        return present

    def cells(self, x: NDArray[np.floating]) -> list[Cell]:
        """Snapped values [n, k] → as the table has them; None where they are missing."""
        raise NotImplementedError

    def _of_number(self, value: float | None) -> tuple[float, ...]:
        """A given value's dimensions. Raises CellError."""
        if value is None:
            if not self.missing:
                raise CellError("not null: no value is missing in the training table")
            return (self.fill, 1.0)
        within = min(max(value, self.low), self.high)
        rounded = not self.needs_float64 and np.float32(value) == np.float32(within)  # as samples are, and bounds not
        if value != within and not rounded:
            low, high = self.cells(np.array([[self.low, 0.0], [self.high, 0.0]]))
            raise CellError(f"{low} … {high}, the least and the most of the training table{self._or_null}")
        return (within, 0.0) if self.missing else (within,)

    @property
    def _or_null(self) -> str:
        return ", or null" if self.missing else ""


class NumberColumn(_Measured):
    """whole: all are whole numbers"""

    kind: Literal["number"] = "number"
    whole: bool = False

    @property
    def unit(self) -> float:
        return 1.0 if self.whole else math.inf

    def snapped(self, x: Tensor) -> Tensor:
        if self.whole:
            x = torch.cat([x[:, :1].round(), x[:, 1:]], dim=1)
        return super().snapped(x)

    def cells(self, x: NDArray[np.floating]) -> list[Cell]:
        """Snapped values [n, k] → int or float, or None."""
        decimal = x[:, 0].astype(str).astype(float)  # 0.1, not the 0.10000000149011612 of a float32
        for bound in (self.low, self.high):
            decimal[x[:, 0] == x.dtype.type(bound)] = bound  # which may have more digits than a float32
        numbers = decimal.tolist()
        return [
            None if not present else round(number) if self.whole else number
            for number, present in zip(numbers, self._present(x), strict=True)
        ]

    def dimensions_of(self, cell: Cell) -> tuple[float, ...]:
        """Raises CellError."""
        if cell is None:
            return self._of_number(None)
        try:
            value = number_of(cell)
        except CellError as error:
            raise CellError(f"{error}{self._or_null}") from error
        if self.whole and value != round(value):
            raise CellError(f"a whole number{self._or_null}")
        return self._of_number(value)


class DateColumn(_Measured):
    """Days since `origin`, which is in ISO 8601 without a time zone; `format` is how the table writes dates."""

    kind: Literal["date"] = "date"
    format: DateFormat
    origin: str

    @model_validator(mode="after")
    def _has_its_dates(self) -> Self:
        try:
            zone = datetime.fromisoformat(self.origin).tzinfo
        except ValueError as error:
            raise ValueError(f"{self.name}: origin is a date in ISO 8601, not {self.origin!r}") from error
        if zone is not None:
            raise ValueError(f"{self.name}: origin has no time zone, as the table's dates have none: {self.origin}")
        try:
            self._dates([self.low, self.high])
        except OverflowError as error:
            raise ValueError(
                f"{self.name}: low and high are days from {self.origin} on, in the years 1 … 9999"
            ) from error
        return self

    @property
    def unit(self) -> float:
        return self._unit / DAY

    @property
    def _unit(self) -> timedelta:
        return DAY if "%H" not in self.format else timedelta(minutes=1) if "%S" not in self.format else DAY / 86_400

    def days(self, text: str) -> float:
        """Raises ValueError for what is no date in that format."""
        return (datetime.strptime(text, self.format) - datetime.fromisoformat(self.origin)) / DAY

    def cells(self, x: NDArray[np.floating]) -> list[Cell]:
        """Snapped values [n, k] → dates as the table writes them, or None."""
        return [
            date if present else None
            for date, present in zip(self._dates(x[:, 0].tolist()), self._present(x), strict=True)
        ]

    def _dates(self, days: Sequence[float]) -> list[str]:
        """As the table writes them. Raises OverflowError beyond the years 1 … 9999."""
        origin, unit = datetime.fromisoformat(self.origin), self._unit
        return [self._written(origin + round(one * DAY / unit) * unit) for one in days]

    def _written(self, date: datetime) -> str:
        """With all four digits of the year: before 1000 `strftime` leaves zeros out, and `strptime` then refuses it."""
        return date.strftime(self.format.replace("%Y", f"{date.year:04}"))

    def dimensions_of(self, cell: Cell) -> tuple[float, ...]:
        """Raises CellError."""
        if cell is None:
            return self._of_number(None)
        try:
            days = self.days(str(cell))
        except ValueError as error:
            example = self._written(datetime.fromisoformat(self.origin))
            raise CellError(f"a date such as {example}{self._or_null}") from error
        return self._of_number(days)
