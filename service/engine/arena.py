"""Where the rows of one model's jobs live: one tensor for all of them, so that a tick gathers and scatters at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.conditions import Conditions
from model.noise import normal
from service.engine.job import Job
from service.engine.slices import Slice


@dataclass(frozen=True, eq=False)
class Selection:
    """The rows of a tick, in order.

    rows        [rows] int64, of the arena
    index       the same, on the device
    conditions  of these rows; what follows from them is found once for as long as they are selected
    """

    rows: np.ndarray
    index: Tensor
    conditions: Conditions


KEPT_ROWS = 64  # that an empty arena may keep room for


class Arena:
    """Each job has a span of rows. What a burst of jobs took is given back when the last of them is done.

    x, x0           [capacity, *shape] float32 on the device: x_t, and the x̂0 of the last step
    seed, plan_row  [capacity] int64 on the host; plan_row is the first row of the row's plan in the table
    conditions      of all rows, on the host
    """

    def __init__(self, shape: tuple[int, ...], device: torch.device):
        self._shape = shape
        self._spans: dict[int, slice] = {}
        self._selected: tuple[list[tuple[int, int, int]], Selection] | None = None  # last, by job, start and stop
        self._clear(device)

    def _clear(self, device: torch.device) -> None:
        self.x = torch.zeros(0, *self._shape, device=device)
        self.x0 = torch.zeros_like(self.x)
        self.seed, self.plan_row = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self.conditions = Conditions.none(0)

    def __contains__(self, job: int) -> bool:
        return job in self._spans

    def span(self, job: int) -> slice:
        return self._spans[job]

    def add(self, number: int, job: Job, plan_row: int) -> None:
        """Make room, and put the rows where they start."""
        span = self._room(len(job))
        if job.start is None:
            seeds = torch.from_numpy(job.seeds).to(self.x.device)
            self.x[span] = normal(seeds, torch.zeros_like(seeds), self._shape)
        else:
            self.x[span] = job.start.to(self.x.device)
        self.x0[span] = 0
        self.seed[span], self.plan_row[span] = job.seeds, plan_row
        self.conditions = self.conditions.written(span, job.conditions)
        self._spans[number] = span

    def remove(self, job: int) -> None:
        del self._spans[job]
        self._selected = None
        if not self._spans and len(self.x) > KEPT_ROWS:
            self._clear(self.x.device)

    def select(self, slices: Sequence[Slice]) -> Selection:
        """The rows of all slices. A job alone has the same ones step by step, which are found once."""
        which = [(piece.job, piece.start, piece.stop) for piece in slices]
        if self._selected is None or self._selected[0] != which:
            rows = self._rows(slices)
            index = torch.from_numpy(rows)
            self._selected = which, Selection(rows, index.to(self.x.device), self.conditions[index].compact())
        return self._selected[1]

    def _rows(self, slices: Sequence[Slice]) -> np.ndarray:
        counts = np.array([len(piece) for piece in slices])
        starts = np.array([self._spans[piece.job].start + piece.start for piece in slices])
        return np.repeat(starts - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())

    def _room(self, rows: int) -> slice:
        """The first gap that is wide enough; where there is none, the arena grows to hold twice as much."""
        start = 0
        for span in sorted(self._spans.values(), key=lambda span: span.start):
            if span.start - start >= rows:
                break
            start = span.stop
        if start + rows > len(self.x):
            more = max(start + rows, 2 * len(self.x)) - len(self.x)
            x, x0 = (_grown(tensor, more) for tensor in (self.x, self.x0))
            seed, plan_row = (np.concatenate([it, np.zeros_like(it, shape=more)]) for it in (self.seed, self.plan_row))
            conditions = Conditions.cat([self.conditions, Conditions.none(more)])
            # All or none: memory may run out at any of them.
            self.x, self.x0, self.seed, self.plan_row, self.conditions = x, x0, seed, plan_row, conditions
        return slice(start, start + rows)


def _grown(tensor: Tensor, more: int) -> Tensor:
    return torch.cat([tensor, tensor.new_zeros(more, *tensor.shape[1:])])
