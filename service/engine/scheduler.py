"""What runs next. Plain Python: no tensors, no threads, no clock but the device-seconds that `advance` gets.

The unit is a slice: consecutive rows of one job that stand at the same step, so that 10,000 points are one object.
A slice that does not fit a tick is cut in two.

Keys share a device fairly (`fair_shares.py`): the next tick is led by a job of the key that has used least for its
share. Four rules say which of its jobs, all in device-seconds, so that models of any size share a device by them:

1. Jobs go in the order of work × work left, and a tick is filled in that order. Of all orders this one makes the mean
   slowdown (time taken over time needed) least (Hyytiä 2012, "SPTP"): little left goes before much, and a job
   that was short from the start before the last steps of a long one.
2. The oldest job never falls behind a quarter of the speed that it would have if its key's jobs were the only ones.
3. Ticks are as large as pays (the speed curve's knee), but where all other jobs have many more steps, a short one
   bounds them: while it waits, so that it is done in a small multiple of the time that it would take alone; and for a
   while after it, so that the next one waits for the tick in hand for a part of that time only.
4. Background jobs run where no other job waits, and in room that others leave in a tick. When others leave none for
   long, they still get a tenth of the device. The other rules do not see them.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from service.engine.fair_shares import FairShares
from service.engine.slices import Slice, WaitingJob
from service.engine.speed_curve import SpeedCurve

OLDEST_SHARE = 0.4  # of the time in ticks, so that a quarter is kept of all time
MUCH_LONGER = 16  # times the steps: rows beside which a short job's promise counts
FAR_BEHIND = 8  # steps
AIM = 1.5  # times its time alone: for when a short job is meant to be done beside much longer ones, once it came …
PROMISE = 3.0  # … and past which it is late anyway, and ticks shrink for it no more
LOOK_AGAIN_EVERY = 32  # ticks, after which another size is tried: what is never run is never learned …
LOOK_AGAIN_FROM = 0.25  # of the knee: what is smaller is not worth the time
BACKGROUND_SHARE = 0.1  # of the device, which background jobs get in any case …
BACKGROUND_PATIENCE = 2.0  # device-seconds that they may fall behind it before another job waits for them
SHARED_TICK = 1.05  # times its seconds: what a tick may take with background rows in it
VISITED_FOR = 10.0  # device-seconds after a job in which the ticks that the next one would wait for stay small …
VISITS = 64  # the last ones, of which the shortest counts …
HELD_UP = 0.25  # of its time alone: what a tick of much longer jobs may take …
HELD_UP_IN_BACKGROUND = 0.15  # … and one of background jobs, if the smallest batch does not take more


@dataclass(frozen=True)
class Visit:
    """A job that is not in the background came or went.

    when     in device-seconds
    seconds  that it would take alone
    """

    when: float
    steps: int
    seconds: float


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
        self._jobs: dict[int, WaitingJob] = {}  # in the order in which they came
        self._background: dict[int, WaitingJob] = {}  # the same; no job is in both
        self._now = 0.0  # device-seconds
        self._shares = FairShares()  # of the keys of `_jobs`
        self._owed: dict[str, float] = {}  # device-seconds, to each key's oldest job
        self._background_owed = 0.0  # device-seconds, to all background jobs together
        self._visits: deque[Visit] = deque(maxlen=VISITS)
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
        key: str = "",
        share: float = 1.0,
        background: bool = False,
    ) -> None:
        """A new job; numbers rise in the order in which jobs come. The network evaluations are those of one row.

        Jobs of one key are one party, whose share is the last that it came with.
        """
        waiting = [Slice(number, 0, rows, 0)]
        job = WaitingJob(number, model, rows, network_evaluations_by_step, self._now, key, waiting)
        if background:
            self._background[number] = job
        else:
            was_idle = all(other.key != key for other in self._jobs.values())
            self._shares.add(key, share, was_idle=was_idle)
            if was_idle:
                self._owed[key] = 0.0
            self._jobs[number] = job
            self._visits.append(Visit(self._now, job.steps, self._seconds_alone(job)))

    def remove(self, number: int) -> None:
        """Forget a job's rows; nothing happens where it has none."""
        job = self._jobs.get(number)
        if job is not None:
            if self._oldest(job.key) is job:
                self._owed[job.key] = 0.0  # a debt ends with its creditor
            del self._jobs[number]
            self._visits.append(Visit(self._now, job.steps, self._seconds_alone(job)))
        if self._background.pop(number, None) is not None and not self._background:
            self._background_owed = 0.0

    def next_tick(self) -> Tick:
        """One model's rows, as many as are worth a tick. Only where something waits."""
        self._ticks += 1
        if not self._jobs or self._background_owed > BACKGROUND_PATIENCE:
            return self._background_tick()
        cost = {model: 1 / curve.rate for model, curve in self._curves.items()}  # device-seconds an evaluation
        order = sorted(self._jobs.values(), key=lambda job: job.work * job.left * cost[job.model] ** 2)
        by_turn = sorted(order, key=lambda job: self._shares.tag(job.key))
        key = by_turn[0].key
        self._shares.serve(key)
        oldest, owed = self._oldest(key), self._owed[key]
        leader = oldest if owed > 0 else by_turn[0]
        curve = self._curves[leader.model]
        size, promised = self._size(leader.model, order)
        overtaken = by_turn[0].steps * MUCH_LONGER <= oldest.steps
        if overtaken and owed > FAR_BEHIND * self._seconds_a_pass(oldest):
            # In ticks larger than this the debt would grow faster than it is paid off.
            size = min(size, curve.largest_within(self._seconds_a_pass(oldest) / OLDEST_SHARE))
        others = promised if leader is not by_turn[0] else 0  # a debt is paid beside the short jobs, not before them
        size = max(size, curve.size_for(leader.most + others))
        chosen = leader.take(max(leader.most, size - others))
        room = size - leader.evaluations(chosen)
        for job in by_turn:
            if job is not leader and job.model == leader.model and room >= job.least:
                taken = job.take(room)
                room -= job.evaluations(taken)
                chosen += taken
        needed = curve.size_for(size - room)
        shared = max(needed, curve.largest_within(SHARED_TICK * curve.seconds(needed)))
        return self._tick(leader.model, chosen, size - room, shared)

    def _background_tick(self) -> Tick:
        """Of background rows alone, as large as pays. While other jobs come, which wait until it is done, it holds the
        shortest of them up by a small part of its time, or by the smallest batch."""
        first = next(iter(self._background.values()))
        curve = self._curves[first.model]
        held_up = HELD_UP_IN_BACKGROUND * self._shortest_visit()
        size = min(self._efficient_size(curve), curve.largest_within(held_up))
        return self._tick(first.model, [], 0, max(size, curve.size_for(first.most)))

    def _tick(self, model: str, chosen: list[Slice], network_evaluations: int, size: int) -> Tick:
        """These slices, and background rows up to that size."""
        room = size - network_evaluations
        for job in self._background.values():
            if job.model == model and room >= job.least:
                taken = job.take(room)
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
                job.put_back(replace(piece, step=piece.step + 1))
            if not job.left:
                self.remove(job.number)
                yield job.number

    def step_of(self, number: int) -> int:
        """The step at which the hindmost of a waiting job's rows stand."""
        job = self._jobs.get(number) or self._background[number]
        return job.steps - job.steps_left

    def _size(self, model: str, order: list[WaitingJob]) -> tuple[int, int]:
        """How large a tick of this model may be now, and how much of it is promised to short jobs: rule 3."""
        curve = self._curves[model]
        shortest = order[0]
        company = [job for job in order if job.steps < MUCH_LONGER * shortest.steps]
        if len(company) == len(order):
            held_up = HELD_UP * self._shortest_visit(shortest.steps / MUCH_LONGER)
            return min(self._efficient_size(curve), curve.largest_within(held_up)), 0
        its_curve = self._curves[shortest.model]
        rows = sum(job.pass_evaluations for job in company if job.model == shortest.model)
        needed = its_curve.size_for(min(rows, its_curve.knee))
        alone, waited = self._seconds_alone(shortest), self._now - shortest.added
        if waited + shortest.steps_left * its_curve.seconds(needed) > PROMISE * alone:
            return curve.knee, 0
        allowed = curve.largest_within((AIM * alone - waited) / shortest.steps_left)
        promised = needed if model == shortest.model else 0
        return max(allowed, promised), promised

    def _shortest_visit(self, steps: float = float("inf")) -> float:
        """Seconds alone of the shortest job, of at most so many steps, that was there of late; infinite for none."""
        visits = (visit for visit in self._visits if self._now - visit.when < VISITED_FOR and visit.steps <= steps)
        return min((visit.seconds for visit in visits), default=float("inf"))

    def _efficient_size(self, curve: SpeedCurve) -> int:
        """The knee, and now and then another size."""
        if self._ticks % LOOK_AGAIN_EVERY:
            return curve.knee
        sizes = [size for size in curve.sizes if size >= LOOK_AGAIN_FROM * curve.knee]
        return sizes[self._ticks // LOOK_AGAIN_EVERY % len(sizes)]

    def _seconds_alone(self, job: WaitingJob) -> float:
        """What a job would take on an idle device."""
        return job.steps * self._seconds_a_pass(job)

    def _seconds_a_pass(self, job: WaitingJob) -> float:
        """What one step of all its rows would take on an idle device."""
        return self._curves[job.model].idle_pass_seconds(job.pass_evaluations)

    def _oldest(self, key: str) -> WaitingJob:
        return next(job for job in self._jobs.values() if job.key == key)

    def _settle(self, tick: Tick, seconds: float) -> None:
        """What each key used, and what its oldest job is owed (rule 2): a share of the key's part of the time, less
        what the tick was worth to the job."""
        done = {job.key: 0 for job in self._jobs.values()}
        for piece in tick.slices:
            if job := self._jobs.get(piece.job):
                done[job.key] += job.evaluations([piece])
        self._shares.charge({key: seconds * each / tick.network_evaluations for key, each in done.items()})
        requests = sum(done.values())
        for key, each in done.items():
            oldest, worth = self._oldest(key), 0.0
            if network_evaluations := oldest.evaluations(tick.slices):
                curve = self._curves[oldest.model]
                worth = curve.idle_seconds(curve.size_for(network_evaluations))
            part = 1.0 if len(done) == 1 else each / max(1, requests)
            self._owed[key] = max(self._owed[key] + OLDEST_SHARE * part * seconds - worth, -seconds)

    def _settle_background(self, tick: Tick, seconds: float) -> None:
        """What background jobs are owed (rule 4): their share of the time that passed, less their part of the tick."""
        theirs = sum(job.evaluations(tick.slices) for job in self._background.values())
        worth = seconds * theirs / tick.network_evaluations
        self._background_owed = max(self._background_owed + BACKGROUND_SHARE * seconds - worth, -seconds)
