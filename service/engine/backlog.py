"""How much accepted work is not done, and how long a new job would wait for the part that runs before it."""

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from service.engine.job import EngineFull, Job, JobTooLong
from service.engine.key import ANYBODY, Key
from service.engine.scheduler import OLDEST_SHARE
from service.engine.speed_curve import SpeedCurve


@dataclass
class _Accepted:
    """A job that is not done: its network evaluations, and how many of them are left."""

    model: str
    key: Key
    work: int
    left: int


@dataclass(frozen=True)
class Ahead:
    """What runs before a job that waits: other jobs, and their work in seconds of the device."""

    jobs: int
    seconds: float


class Backlog:
    """Counted in by the event loop, counted down by the engine's thread, hence the lock. The curves, which the thread
    teaches, are only read here.

    bound     seconds that a job may have to wait for those that run before it
    deadline  seconds after which a job is given up
    """

    def __init__(self, curves: Mapping[str, SpeedCurve], bound: float, deadline: float):
        self._curves, self._bound, self._deadline = curves, bound, deadline
        self._accepted: dict[int, _Accepted] = {}  # by the job's number
        self._background: dict[int, _Accepted] = {}  # the same
        self._lock = threading.Lock()

    @property
    def seconds(self) -> float:
        """Of the whole device, for all that is queued or running."""
        with self._lock:
            rates = self._rates()
            return sum(one.left / rates[one.model] for one in self._accepted.values())

    @property
    def models(self) -> set[str]:
        """Those that have accepted work here, in the background too, also where the thread has not seen it yet."""
        with self._lock:
            return {one.model for accepted in (self._accepted, self._background) for one in accepted.values()}

    def seconds_until_done(self, job: Job, *, background: bool = False) -> float:
        """When a new job would be done, after all that is here; only background jobs wait for the background."""
        with self._lock:
            here = [*self._accepted.values(), *(self._background.values() if background else ())]
            seconds: float = sum(one.left / self._curves[one.model].rate for one in here)
            return seconds + self.seconds_of(job)

    def seconds_of(self, job: Job) -> float:
        """That the job takes of a busy device."""
        return job.network_evaluations / self._curves[job.model].rate

    def add(self, number: int, job: Job, key: Key = ANYBODY, *, background: bool = False) -> None:
        """Count a job in that has been admitted before, or is in the background."""
        with self._lock:
            accepted = self._background if background else self._accepted
            accepted[number] = _Accepted(job.model, key, job.network_evaluations, job.network_evaluations)

    def admit(self, number: int, job: Job, key: Key = ANYBODY) -> None:
        """Count the job in.

        It waits for what the scheduler runs before it: jobs of its key with less work × work left. While its key has
        others, they slow it down by the share that the scheduler keeps for the oldest. Meanwhile every other key gets
        what its share is against this one's, as far as it has work.

        Raises JobTooLong where it could not be done within the deadline even alone, and EngineFull where it would wait
        longer than the bound, or past the deadline.
        """
        with self._lock:
            alone = self._seconds_alone(job)
            if alone > self._deadline:
                raise JobTooLong(alone, self._deadline)
            rates, own = self._rates(), self.seconds_of(job)
            before, others = 0.0, False
            of_keys: dict[str, tuple[float, float]] = {}  # share and seconds left, of the other keys
            for one in self._accepted.values():
                work, left = one.work / rates[one.model], one.left / rates[one.model]
                if one.key.name != key.name:
                    of_keys[one.key.name] = one.key.share, of_keys.get(one.key.name, (0.0, 0.0))[1] + left
                elif work * left <= own * own:
                    before += left
                else:
                    others = True
            done = (before + own) / (1 - OLDEST_SHARE if others else 1)
            done += sum(min(left, done * share / key.share) for share, left in of_keys.values())
            wait = done - own
            excess = max(wait - self._bound, wait + max(own, alone) - self._deadline)
            if self._accepted and excess > 0:
                raise EngineFull(wait, retry_after=max(1, math.ceil(min(excess, self._deadline))))
            self._accepted[number] = _Accepted(job.model, key, job.network_evaluations, job.network_evaluations)

    def ahead_of(self, number: int) -> Ahead | None:
        """What runs before an accepted job that has not begun: jobs of its own key, for other keys' run beside them.
        None where it has begun, or is not here."""
        with self._lock:
            one = self._accepted.get(number)
            if one is None or one.left < one.work:
                return None
            rates = self._rates()

            def place(its_number: int, job: _Accepted) -> tuple[float, int]:
                return job.work * job.left / rates[job.model] ** 2, its_number

            own = place(number, one)
            before = [
                other
                for its_number, other in self._accepted.items()
                if other.key.name == one.key.name and place(its_number, other) < own
            ]
            return Ahead(len(before), sum(other.left / rates[other.model] for other in before))

    def done(self, number: int, network_evaluations: int) -> None:
        """So much of the job has been computed, or will never be; nothing happens where the job is done."""
        with self._lock:
            for accepted in (self._accepted, self._background):
                one = accepted.get(number)
                if one is not None:
                    one.left -= network_evaluations
                    if one.left <= 0:
                        del accepted[number]

    def _rates(self) -> Mapping[str, float]:
        """Network evaluations per second, of the models that have work."""
        return {model: self._curves[model].rate for model in {one.model for one in self._accepted.values()}}

    def _seconds_alone(self, job: Job) -> float:
        """What the job would take on a device of its own, by the passes of an idle device or by today's: either may
        have been measured beside other work."""
        curve = self._curves[job.model]
        sizes = [len(job) * cost for cost in job.network_evaluations_by_step]
        passes = {size: min(curve.idle_pass_seconds(size), curve.pass_seconds(size)) for size in set(sizes)}
        return sum(passes[size] for size in sizes)
