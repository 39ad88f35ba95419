"""What runs next. Plain Python: no tensors, no threads, no clock but the device-seconds that `advance` gets.

The unit is a slice: consecutive rows of one job that stand at the same step, so that 10,000 points are one object.
A slice that does not fit a tick is cut in two.

Four rules, all in device-seconds, so that models of any size share a device by them:

1. Jobs go in the order of work × work left, and a tick is filled in that order. Of all orders this one makes the mean
   slowdown (time taken over time needed) least (Hyytiä 2012, "SPTP"): little left goes before much, and a job
   that was short from the start before the last steps of a long one.
2. The oldest job never falls behind a quarter of the speed that it would have on an idle device.
3. Ticks are as large as pays (the speed curve's knee), but while a job waits beside others of many more steps they are
   kept small enough for it to be done in a small multiple of the time that it would take alone.
4. Background jobs run where no other job waits, and in room that others leave in a tick. When others leave none for
   long, they still get a tenth of the device. The other rules do not see them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from service.engine.speed_curve import SpeedCurve

OLDEST_SHARE = 0.3  # what is aimed at, so that a quarter is kept
MUCH_LONGER = 16  # times the steps: rows beside which a short job's promise counts
FAR_BEHIND = 8  # steps
AIM = 2.25  # times its time alone: for when a short job is meant to be done beside much longer ones …
PROMISE = 3.0  # … and past which it is late anyway, and ticks shrink for it no more
LOOK_AGAIN_EVERY = 32  # ticks, after which another size is tried: what is never run is never learned …
LOOK_AGAIN_FROM = 0.25  # of the knee: what is smaller is not worth the time
BACKGROUND_SHARE = 0.1  # of the device, which background jobs get in any case …
BACKGROUND_PATIENCE = 2.0  # device-seconds that they may fall behind it before another job waits for them
SHARED_TICK = 1.05  # times its seconds: what a tick may take with background rows in it
VISITED_FOR = 10.0  # device-seconds after another job in which background ticks stay small: more may come …
SMALL_TICK = 2.0  # times the seconds of the smallest batch


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
class _Job:
    """What the scheduler knows of a job.

    costs    network evaluations of one row, by step
    added    when it came, in device-seconds
    waiting  its slices that are not in a tick, in order
    left     of its work, the network evaluations that are not done
    """

    number: int
    model: str
    rows: int
    costs: Sequence[int]
    added: float
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


@dataclass(frozen=True)
class Tick:
    """One forward pass of one model. The slices are not waiting while it runs.

    size  the batch that holds it
    idle  whether its job is the only one there is
    """

    model: str
    slices: tuple[Slice, ...]
    network_evaluations: int
    size: int
    idle: bool


class Scheduler:
    """Which rows share the next tick. `curves`: of each model, how long a pass takes at each batch size."""

    def __init__(self, curves: Mapping[str, SpeedCurve]):
        self._curves = curves
        self._jobs: dict[int, _Job] = {}  # in the order in which they came
        self._background: dict[int, _Job] = {}  # the same; no job is in both
        self._now = 0.0  # device-seconds
        self._owed = 0.0  # device-seconds, to the oldest job
        self._background_owed = 0.0  # device-seconds, to all background jobs together
        self._visited = -VISITED_FOR  # when a job that is not in the background came or went
        self._ticks = 0

    def __bool__(self) -> bool:
        """Is anything waiting?"""
        return bool(self._jobs or self._background)

    def add(
        self,
        number: int,
        model: str,
        *,
        rows: int,
        network_evaluations_by_step: Sequence[int],
        background: bool = False,
    ) -> None:
        """A new job; numbers rise in the order in which jobs come. The network evaluations are those of one row."""
        waiting = [Slice(number, 0, rows, 0)]
        job = _Job(number, model, rows, network_evaluations_by_step, self._now, waiting)
        if background:
            self._background[number] = job
        else:
            self._jobs[number] = job
            self._visited = self._now

    def remove(self, number: int) -> None:
        """Forget a job's rows; nothing happens where it has none."""
        if self._jobs and next(iter(self._jobs)) == number:
            self._owed = 0.0  # a debt ends with its creditor
        if self._jobs.pop(number, None) is not None:
            self._visited = self._now
        if self._background.pop(number, None) is not None and not self._background:
            self._background_owed = 0.0

    def next_tick(self) -> Tick:
        """One model's rows, as many as are worth a tick. Only where something waits."""
        self._ticks += 1
        if not self._jobs or self._background_owed > BACKGROUND_PATIENCE:
            return self._background_tick()
        cost = {model: 1 / curve.rate for model, curve in self._curves.items()}  # device-seconds an evaluation
        order = sorted(self._jobs.values(), key=lambda job: job.work * job.left * cost[job.model] ** 2)
        oldest = next(iter(self._jobs.values()))
        leader = oldest if self._owed > 0 else order[0]
        curve = self._curves[leader.model]
        size = self._size(leader.model, order)
        overtaken = order[0].steps * MUCH_LONGER <= oldest.steps
        if overtaken and self._owed > FAR_BEHIND * self._seconds_a_pass(oldest):
            # In ticks larger than this the debt would grow faster than it is paid off.
            size = min(size, curve.largest_within(self._seconds_a_pass(oldest) / OLDEST_SHARE))
        size = max(size, curve.size_for(leader.most))
        chosen: list[Slice] = []
        room = size
        for job in [leader, *(job for job in order if job is not leader)]:
            if job.model == leader.model and room >= job.least:
                taken = self._take(job, room)
                room -= job.evaluations(taken)
                chosen += taken
        needed = curve.size_for(size - room)
        shared = max(needed, curve.largest_within(SHARED_TICK * curve.seconds(needed)))
        return self._tick(leader.model, chosen, size - room, shared)

    def _background_tick(self) -> Tick:
        """Of background rows alone, as large as pays; small while other jobs come, for those wait until it is done."""
        first = next(iter(self._background.values()))
        curve = self._curves[first.model]
        size = self._efficient_size(curve)
        if self._now - self._visited < VISITED_FOR:
            size = curve.largest_within(SMALL_TICK * curve.seconds(curve.sizes[0]))
        return self._tick(first.model, [], 0, max(size, curve.size_for(first.most)))

    def _tick(self, model: str, chosen: list[Slice], network_evaluations: int, size: int) -> Tick:
        """These slices, and background rows up to that size."""
        room = size - network_evaluations
        for job in self._background.values():
            if job.model == model and room >= job.least:
                taken = self._take(job, room)
                room -= job.evaluations(taken)
                chosen += taken
        evaluations = size - room
        idle = len(self._jobs) + len(self._background) == 1
        return Tick(model, tuple(chosen), evaluations, self._curves[model].size_for(evaluations), idle)

    def advance(self, tick: Tick, seconds: float) -> Iterator[int]:
        """The tick is done and took so long: its slices are a step further. Yields the jobs that this finished."""
        self._now += seconds
        if self._jobs:
            self._settle(tick, seconds)
        if self._background:
            self._settle_background(tick, seconds)
        for piece in tick.slices:
            job = self._jobs.get(piece.job) or self._background.get(piece.job)
            if job is None:
                continue  # removed while the tick ran
            job.left -= job.evaluations([piece])
            if piece.step + 1 < job.steps:
                _put_back(job.waiting, replace(piece, step=piece.step + 1))
            if not job.left:
                self.remove(job.number)
                yield job.number

    def step_of(self, number: int) -> int:
        """The step at which the hindmost of a waiting job's rows stand."""
        job = self._jobs[number]
        return job.steps - job.steps_left

    def _size(self, model: str, order: list[_Job]) -> int:
        """How large a tick of this model may be now: rule 3."""
        curve = self._curves[model]
        shortest = order[0]
        company = [job for job in order if job.steps < MUCH_LONGER * shortest.steps]
        if len(company) == len(order):
            return self._efficient_size(curve)
        its_curve = self._curves[shortest.model]
        rows = sum(job.pass_evaluations for job in company if job.model == shortest.model)
        needed = its_curve.size_for(min(rows, its_curve.knee))
        alone, waited = self._seconds_alone(shortest), self._now - shortest.added
        if waited + shortest.steps_left * its_curve.seconds(needed) > PROMISE * alone:
            return curve.knee
        allowed = (AIM * alone - waited) / shortest.steps_left
        return max(curve.largest_within(allowed), needed if model == shortest.model else 0)

    def _efficient_size(self, curve: SpeedCurve) -> int:
        """The knee, and now and then another size."""
        if self._ticks % LOOK_AGAIN_EVERY:
            return curve.knee
        sizes = [size for size in curve.sizes if size >= LOOK_AGAIN_FROM * curve.knee]
        return sizes[self._ticks // LOOK_AGAIN_EVERY % len(sizes)]

    def _seconds_alone(self, job: _Job) -> float:
        """What a job would take on an idle device."""
        return job.steps * self._seconds_a_pass(job)

    def _seconds_a_pass(self, job: _Job) -> float:
        """What one step of all its rows would take on an idle device."""
        return self._curves[job.model].idle_pass_seconds(job.pass_evaluations)

    def _settle(self, tick: Tick, seconds: float) -> None:
        """What the oldest job is owed (rule 2): a share of the time that passed, less what the tick was worth to it."""
        oldest = next(iter(self._jobs.values()))
        network_evaluations = oldest.evaluations(tick.slices)
        worth = 0.0
        if network_evaluations:
            curve = self._curves[oldest.model]
            worth = curve.idle_seconds(curve.size_for(network_evaluations))
        self._owed = max(self._owed + OLDEST_SHARE * seconds - worth, -seconds)

    def _settle_background(self, tick: Tick, seconds: float) -> None:
        """What background jobs are owed (rule 4): their share of the time that passed, less their part of the tick."""
        theirs = sum(job.evaluations(tick.slices) for job in self._background.values())
        worth = seconds * theirs / tick.network_evaluations
        self._background_owed = max(self._background_owed + BACKGROUND_SHARE * seconds - worth, -seconds)

    @staticmethod
    def _take(job: _Job, room: int) -> list[Slice]:
        """A job's waiting rows whose next step fits into so many network evaluations, the hindmost first; what is left
        of a slice goes on waiting."""
        taken = []
        for piece in sorted(job.waiting, key=lambda piece: piece.step):
            fits = min(len(piece), room // job.costs[piece.step])
            if not fits:
                continue
            room -= fits * job.costs[piece.step]
            taken.append(replace(piece, stop=piece.start + fits))
            if fits < len(piece):
                piece.start += fits
            else:
                job.waiting.remove(piece)
        return taken


def _put_back(waiting: list[Slice], piece: Slice) -> None:
    """Put a slice among its job's others, joined to neighbours that stand at the same step: cuts heal."""
    pieces = sorted([*waiting, piece], key=lambda piece: piece.start)
    waiting[:] = pieces[:1]
    for after in pieces[1:]:
        before = waiting[-1]
        if before.stop == after.start and before.step == after.step:
            before.stop = after.stop
        else:
            waiting.append(after)
