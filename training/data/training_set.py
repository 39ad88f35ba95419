"""What training and measuring ask of data."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from model.data import DataConfig


class DataError(ValueError):
    """Data that cannot be trained on; the message names the file or line and says what to do."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Real rows, in memory or mapped from a file.

    rows      in the data's own units: uint8 [n, C, H, W], or float32 [n, d]
    labels    int64 [n]; NO_LABEL where the set has no classes
    names     of each: its file or its line; none where a set has no names for them
    captions  what is said of each, "" where nothing is; none where a set has no captions
    """

    rows: Tensor
    labels: Tensor
    names: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def some(self, n: int) -> "Examples":
        """n of them, or all, as `some_rows`."""
        if n >= len(self):
            return self
        index = in_random_order(len(self))[:n]
        names, captions = (tuple(of[i] for i in index.tolist()) if of else () for of in (self.names, self.captions))
        return Examples(self.rows[index], self.labels[index], names, captions)


def some_rows(rows: Tensor, n: int) -> Tensor:
    """n of them, or all: those of a random order that is always the same, for they may lie class by class."""
    return rows if n >= len(rows) else rows[in_random_order(len(rows))[:n]]


def in_random_order(n: int) -> Tensor:
    """0 … n − 1, always in the same order."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(0))


class TrainingSet(Protocol):
    """Rows in the data's own units, drawn by a generator: the same generator, the same rows.

    examples  what is drawn from, before it is augmented; None where rows are made afresh without end
    held_out  real rows that are never drawn, to measure with
    """

    config: DataConfig

    @property
    def examples(self) -> Examples | None: ...

    @property
    def held_out(self) -> Examples: ...

    def draw(self, rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """(data float32 [rows, *shape], labels int64 [rows], or traits [rows, …] where the set has captions)"""
        ...


@dataclass(frozen=True, eq=False)
class LeftOut:
    """A file or a line that cannot be trained on, and why."""

    name: str
    reason: str


def unchanged(rows: Tensor, generator: torch.Generator) -> Tensor:
    return rows


@dataclass(frozen=True, eq=False)
class FiniteSet:
    """A `TrainingSet` of so many examples, augmented as they are drawn.

    augment   (rows float32 [n, …], generator) → the same, changed a little
    left_out  what lay beside the examples and cannot be trained on
    identity  of somebody's own data: another one once they have changed
    """

    config: DataConfig
    examples: Examples
    held_out: Examples
    augment: Callable[[Tensor, torch.Generator], Tensor] = unchanged
    left_out: tuple[LeftOut, ...] = ()
    identity: str = ""

    def __len__(self) -> int:
        return len(self.examples)

    def draw(self, rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        index = torch.randint(len(self), (rows,), generator=generator)
        return self.at(index, generator), self.examples.labels[index]

    def at(self, index: Tensor, generator: torch.Generator) -> Tensor:
        """Those examples [rows], augmented: for whoever draws captions, or hints, beside them."""
        return self.augment(self.examples.rows[index].float(), generator)
