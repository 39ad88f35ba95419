"""A job as the scheduler sees it: slices of rows that wait for their next step, and what a step of them costs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace


@dataclass
class Slice:
    """Rows start … stop of a job, of which `step` steps are done."""

    job: int
    start: int
    stop: int
    step: int

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(eq=False)
class WaitingJob:
    """What the scheduler knows of a job.

    costs    network evaluations of one row, by step
    key      whose it is
    added    when it came, in device-seconds
    waiting  its slices that are not in a tick, in order
    left     of its work, the network evaluations that are not done
    """

    number: int
    model: str
    rows: int
    costs: Sequence[int]
    added: float
    key: str
    waiting: list[Slice] = field(default_factory=list)
    left: int = field(init=False)

    def __post_init__(self) -> None:
        self.work = self.left = self.rows * sum(self.costs)
        self.least, self.most = min(self.costs), max(self.costs)

    @property
    def steps(self) -> int:
        return len(self.costs)

    @property
    def pass_evaluations(self) -> int:
        """Network evaluations of one step of all its rows, on average, rounded up."""
        return -(-self.work // self.steps)

    def evaluations(self, slices: Iterable[Slice]) -> int:
        """Network evaluations of the next step of those of the slices that are this job's."""
        return sum(len(piece) * self.costs[piece.step] for piece in slices if piece.job == self.number)

    @property
    def steps_left(self) -> int:
        """Of its hindmost rows."""
        return self.steps - min(piece.step for piece in self.waiting)

    def take(self, room: int) -> list[Slice]:
        """Waiting rows whose next step fits into so many network evaluations, the hindmost first; what is left
        of a slice goes on waiting."""
        taken = []
        for piece in sorted(self.waiting, key=lambda piece: piece.step):
            fits = min(len(piece), room // self.costs[piece.step])
            if not fits:
                continue
            room -= fits * self.costs[piece.step]
            taken.append(replace(piece, stop=piece.start + fits))
            if fits < len(piece):
                piece.start += fits
            else:
                self.waiting.remove(piece)
        return taken

    def put_back(self, piece: Slice) -> None:
        """Put a slice among the others, joined to neighbours that stand at the same step: cuts heal."""
        pieces = sorted([*self.waiting, piece], key=lambda piece: piece.start)
        self.waiting = pieces[:1]
        for after in pieces[1:]:
            before = self.waiting[-1]
            if before.stop == after.start and before.step == after.step:
                before.stop = after.stop
            else:
                self.waiting.append(after)
