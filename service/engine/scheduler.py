"""What runs next. Plain Python: no tensors, no threads, no clock.

The unit is a slice: consecutive rows of one job that stand at the same step, so that 10,000 points are one object.
A slice that does not fit a tick is cut in two.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

# Of so many ticks one is led by the oldest job, the others by whoever has least left to do: short jobs overtake long
# ones, and the oldest keeps at least this share of the device, so that every job comes to its end.
OLDEST_LEADS_EVERY = 4


@dataclass
class Slice:
    """Rows start … stop of a job, of which `step` steps are done."""

    job: int
    model: str
    start: int
    stop: int
    step: int
    steps: int
    evaluations_per_row: int

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def evaluations(self) -> int:
        return len(self) * self.evaluations_per_row

    @property
    def left(self) -> int:
        return self.steps - self.step


@dataclass(frozen=True)
class Tick:
    """One forward pass of one model. The slices are not waiting while it runs."""

    model: str
    slices: tuple[Slice, ...]

    @property
    def evaluations(self) -> int:
        return sum(piece.evaluations for piece in self.slices)


class Scheduler:
    """Which rows share the next tick.

    capacity  of each model: the most network evaluations a tick may cost
    """

    def __init__(self, capacity: Mapping[str, int]):
        self._capacity = dict(capacity)
        self._waiting: dict[int, list[Slice]] = {}  # job → its slices, in order
        self._rows_left: dict[int, int] = {}  # job → rows that are not done
        self._ticks = 0

    def __bool__(self) -> bool:
        """Is anything waiting?"""
        return bool(self._waiting)

    @property
    def rows_waiting(self) -> int:
        return sum(len(piece) for pieces in self._waiting.values() for piece in pieces)

    def add(self, job: int, model: str, *, rows: int, steps: int, evaluations_per_row: int) -> None:
        """A new job; jobs are numbered in the order in which they come."""
        self._rows_left[job] = rows
        self._waiting[job] = [Slice(job, model, 0, rows, 0, steps, evaluations_per_row)]

    def remove(self, job: int) -> None:
        """Forget a job's rows; nothing happens where it has none."""
        self._rows_left.pop(job, None)
        self._waiting.pop(job, None)

    def next_tick(self) -> Tick:
        """The leading slice's model, and as many rows of it as fit, in order. Only where something waits."""
        self._ticks += 1
        order = [piece for pieces in self._waiting.values() for piece in pieces]
        if self._ticks % OLDEST_LEADS_EVERY == 0:
            order.sort(key=lambda piece: piece.job)
        else:
            order.sort(key=lambda piece: piece.left)
        model = order[0].model
        room = self._capacity[model]
        chosen: list[Slice] = []
        for piece in order:
            fits = min(len(piece), room // piece.evaluations_per_row) if piece.model == model else 0
            if fits:
                room -= fits * piece.evaluations_per_row
                chosen.append(self._cut(piece, fits))
        return Tick(model, tuple(chosen))

    def advance(self, tick: Tick) -> Iterator[int]:
        """The tick is done: its slices are a step further. Yields the jobs whose last row this finished."""
        for piece in tick.slices:
            if piece.job not in self._rows_left:
                continue  # removed while the tick ran
            piece = replace(piece, step=piece.step + 1)
            if piece.left:
                self._wait(piece)
                continue
            self._rows_left[piece.job] -= len(piece)
            if not self._rows_left[piece.job]:
                del self._rows_left[piece.job]
                yield piece.job

    def step_of(self, job: int) -> int:
        """The step at which the hindmost of a waiting job's rows stand."""
        return min(piece.step for piece in self._waiting[job])

    def _cut(self, piece: Slice, rows: int) -> Slice:
        """Take the first rows of a waiting slice; what is left of it goes on waiting."""
        taken = replace(piece, stop=piece.start + rows)
        pieces = self._waiting[piece.job]
        if rows < len(piece):
            piece.start += rows
        else:
            pieces.remove(piece)
            if not pieces:
                del self._waiting[piece.job]
        return taken

    def _wait(self, piece: Slice) -> None:
        """Put a slice back, joined to neighbours that stand at the same step: cuts heal."""
        pieces = sorted([*self._waiting.get(piece.job, []), piece], key=lambda piece: piece.start)
        joined = [pieces[0]]
        for after in pieces[1:]:
            before = joined[-1]
            if before.stop == after.start and before.step == after.step:
                before.stop = after.stop
            else:
                joined.append(after)
        self._waiting[piece.job] = joined
