"""The interface of a training set, and the finite sets that implement it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from model.conditions import NO_LABEL
from model.data import DataConfig


class DataError(ValueError):
    """Data that cannot be trained on; the message names the file or line and the remedy."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Real rows, in memory or mapped from a file.

    rows      in the data's own units: uint8 [n, C, H, W], or float32 [n, d], or float64 where that is needed
    labels    int64 [n]; NO_LABEL if the set has no classes
    names     the file or line of each row; empty if the set has no names
    captions  of each row, "" for a row without one; empty if the set has no captions
    """

    rows: Tensor
    labels: Tensor
    names: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def some(self, n: int) -> "Examples":
        """At most n of them, chosen as by `some_rows`."""
        return self if n >= len(self) else self.at(in_random_order(len(self))[:n])

    def at(self, index: Tensor) -> "Examples":
        """Those at these places, int64 [m], in this order."""
        names, captions = (
            tuple(texts[i] for i in index.tolist()) if texts else () for texts in (self.names, self.captions)
        )
        return Examples(self.rows[index], self.labels[index], names, captions)


def some_rows(rows: Tensor, n: int) -> Tensor:
    """At most n of the rows, always the same ones, chosen at random: rows may lie class by class."""
    return rows if n >= len(rows) else rows[in_random_order(len(rows))[:n]]


def in_random_order(n: int) -> Tensor:
    """0 … n − 1 in a random order that is always the same."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(0))


class TrainingSet(Protocol):
    """A source of rows in the data's own units; the same generator gives the same rows.

    examples  the training rows before augmentation; None if rows are made afresh without end
    held_out  real rows that are never trained on, for measurements
    real      the finite set that the rows are made of, as it is without captions or hints; None likewise
    """

    @property
    def config(self) -> DataConfig: ...

    @property
    def examples(self) -> Examples | None: ...

    @property
    def held_out(self) -> Examples: ...

    @property
    def real(self) -> "FiniteSet | None": ...

    def draw(self, rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """(data [rows, *shape], labels int64 [rows]); a captioned set gives traits int64 [rows, …] instead.

        The data are float32, or float64 where `config.needs_float64`.
        """
        ...


def finite(data: TrainingSet) -> Examples:
    """The examples of a finite set. Raises DataError if its rows are made afresh without end."""
    if data.examples is None:
        raise DataError(f"{data.config.dataset} has no examples: its rows are made afresh without end")
    return data.examples


def learned(data: TrainingSet) -> Examples:
    """What a denoiser of a finite set learns: its examples and its unlabelled rows. Raises DataError like `finite`."""
    return finite(data if data.real is None else data.real.with_unlabelled())


@dataclass(frozen=True, eq=False)
class LeftOut:
    """A file or a line that cannot be trained on, and the reason.

    columns  of a table whose cells are the reason
    """

    name: str
    reason: str
    columns: tuple[str, ...] = ()


def as_floats(rows: Tensor) -> Tensor:
    """Rows as floating-point numbers: points keep their precision, pixels become float32."""
    return rows if rows.is_floating_point() else rows.float()


def unchanged(rows: Tensor, generator: torch.Generator) -> Tensor:
    """No augmentation."""
    return rows


@dataclass(frozen=True, eq=False)
class FiniteSet:
    """A `TrainingSet` of finitely many examples, augmented on the way out.

    augment     (rows float32 [n, …], generator) → augmented rows, of the same shape
    left_out    files or lines that cannot be trained on
    identity    a digest of own data that changes when they change; empty for built-in data
    notes       how own data were understood, in sentences for the user
    unlabelled  [u, …] further rows, without a label; `draw` leaves them out. See `with_unlabelled`
    clusters    [n] int64, pseudo-labels of examples without labels; `draw` gives them in place of labels
    """

    config: DataConfig
    examples: Examples
    held_out: Examples
    augment: Callable[[Tensor, torch.Generator], Tensor] = unchanged
    left_out: tuple[LeftOut, ...] = ()
    identity: str = ""
    notes: tuple[str, ...] = ()
    unlabelled: Tensor | None = None
    clusters: Tensor | None = None

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def real(self) -> "FiniteSet":
        return self

    def with_unlabelled(self) -> "FiniteSet":
        """The set with the unlabelled rows among its examples, as NO_LABEL; names and captions are lost."""
        if self.unlabelled is None:
            return self
        rows = torch.cat([self.examples.rows, self.unlabelled])
        labels = torch.cat([self.examples.labels, torch.full((len(self.unlabelled),), NO_LABEL)])
        return replace(self, examples=Examples(rows, labels), unlabelled=None)

    def draw(self, rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        index = torch.randint(len(self), (rows,), generator=generator)
        labels = self.examples.labels if self.clusters is None else self.clusters
        return self.at(index, generator), labels[index]

    def at(self, index: Tensor, generator: torch.Generator) -> Tensor:
        """The augmented examples at these indices [rows]; for sets that add captions or hints to the same rows."""
        return self.augment(as_floats(self.examples.rows[index]), generator)
