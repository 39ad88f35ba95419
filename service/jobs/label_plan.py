"""Which class each row of a data set has: a function of the row's number, so that any chunk can be made alone."""

from collections.abc import Sequence

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict

from model.label_prior import drawn_labels


class LabelPlan(BaseModel):
    """At most one of three. Without any, rows have no class.

    classes  of each row, its number
    counts   of each class, how many rows have it; every part of the data set has nearly these proportions
    shares   of each class, its probability: each row's class is drawn by its seed
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    classes: tuple[int, ...] | None = None
    counts: tuple[int, ...] | None = None
    shares: tuple[float, ...] | None = None

    def of_rows(self, first: int, seeds: np.ndarray) -> np.ndarray | None:
        """The classes' numbers of consecutive rows, int64 [n]; None without labels.

        first  the number of the first row
        seeds  [n] int64
        """
        if self.classes is not None:
            return np.array(self.classes[first : first + len(seeds)], np.int64)
        if self.counts is not None:
            return interleaved(self.counts, first, first + len(seeds))
        if self.shares is not None:
            return drawn_labels(torch.from_numpy(seeds), self.shares).numpy()
        return None


def even_counts(rows: int, classes: int) -> tuple[int, ...]:
    """Rows over classes, as equal as may be; the first ones have one more where it does not come out even."""
    return tuple(rows // classes + (index < rows % classes) for index in range(classes))


def interleaved(counts: Sequence[int], first: int, last: int) -> np.ndarray:
    """The classes of rows first … last − 1, int64, where `counts` of all rows have each class.

    Class c's j-th row of m stands at (2j + 1)/2m of the way; rows are sorted by that, then by class. So each stretch of
    rows has nearly the counts' proportions. Only rows near the stretch are looked at, for any number of rows in all.
    """
    rows = sum(counts)
    from_, to = max(0, first - len(counts)), min(rows, last + len(counts))  # the exact bounds are within half a row
    places, classes, before = [], [], 0
    for number, m in enumerate(counts):
        low, high = (min(m, max(0, -((rows - 2 * m * end) // (2 * rows)))) for end in (from_, to))
        if to == rows:
            high = m
        before += low
        places.append((2 * np.arange(low, high) + 1) / (2 * max(1, m)))
        classes.append(np.full(high - low, number, np.int64))
    order = np.lexsort((np.concatenate(classes), np.concatenate(places)))
    return np.concatenate(classes)[order][first - before : last - before]
