"""Some rows of a data set, with all that a file tells about them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from model.measured_columns import Cell
from model.table import TableColumn, decoded
from service.media import encoding


@dataclass(frozen=True, eq=False)
class Shard:
    """Rows that become files together.

    data     images uint8 [n, H, W] or [n, H, W, 3]; points float32 or float64 [n, d] in the data's own units
    numbers  [n] int64, each row's number in the whole data set, from 0
    seeds    [n] int64
    classes  [n] int64, the classes' numbers; None without labels
    names    of the classes, in the order of their numbers
    columns  what the dimensions of points are called; empty for images
    prompt   of all rows; None without one
    table    what columns the dimensions are an encoding of; empty where each is a column of numbers
    """

    data: np.ndarray
    numbers: np.ndarray
    seeds: np.ndarray
    classes: np.ndarray | None = None
    names: Sequence[str] = ()
    columns: Sequence[str] = ()
    prompt: str | None = None
    table: Sequence[TableColumn] = ()

    def __len__(self) -> int:
        return len(self.data)

    @cached_property
    def labels(self) -> list[str] | None:
        """The name of each row's class."""
        return None if self.classes is None else [self.names[number] for number in self.classes.tolist()]

    @cached_property
    def cells(self) -> dict[str, list[Cell]]:
        """The rows as the table has them that the model learned, column by column, with its label; of a table."""
        return decoded(self.table, self.data, self.labels)

    def stems(self) -> Iterator[str]:
        """What each row's file is called, without its ending: names in their order are rows in their order."""
        return (f"{number:08d}" for number in self.numbers.tolist())

    def pngs(self) -> Iterator[bytes]:
        """Each image as a PNG that holds nothing but its pixels."""
        return (encoding.png(image, {}) for image in self.data)

    def own_column(self, name: str) -> str:
        """A name for a column that is not among the points' own."""
        return encoding.own_column(name, [*self.columns, *(column.name for column in self.table)])

    def records(self) -> Iterator[dict[str, object]]:
        """What is known of each row besides its pixels."""
        prompt = {} if self.prompt is None else {"prompt": self.prompt}
        for index, seed in enumerate(self.seeds.tolist()):
            label = {} if self.labels is None else {"label": self.labels[index]}
            yield {**label, **prompt, "seed": seed}
