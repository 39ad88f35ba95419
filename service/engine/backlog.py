"""How much accepted work is not done, and how long a new job would wait for the part that runs before it."""

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from service.engine.job import EngineFull, Job, JobTooLong
from service.engine.scheduler import OLDEST_SHARE
from service.engine.speed_curve import SpeedCurve


@dataclass
class _Accepted:
    """A job that is not done: its network evaluations, and how many of them are left."""

    model: str
    work: int
    left: int


class Backlog:
    """Counted in by the event loop, counted down by the engine's thread: the one thing they share, hence the lock.

    bound     seconds that a job may have to wait for those that run before it
    deadline  seconds after which a job is given up
    """

    def __init__(self, curves: Mapping[str, SpeedCurve], bound: float, deadline: float):
        self._curves, self._bound, self._deadline = curves, bound, deadline
        self._accepted: dict[int, _Accepted] = {}  # by the job's number
        self._lock = threading.Lock()

    @property
    def seconds(self) -> float:
        """Of the whole device, for all that is queued or running."""
        with self._lock:
            return sum(self._seconds(one.model, one.left) for one in self._accepted.values())

    def admit(self, number: int, job: Job) -> None:
        """Count the job in.

        It waits for what the scheduler runs before it: jobs with less work × work left. While there are others, they
        slow it down by the share that the scheduler keeps for the oldest.

        Raises JobTooLong where it could not be done within the deadline even alone, and EngineFull where it would wait
        longer than the bound, or past the deadline.
        """
        with self._lock:
            own = self._seconds(job.model, job.network_evaluations)
            alone = min(own, self._seconds_alone(job))
            if alone > self._deadline:
                raise JobTooLong(alone, self._deadline)
            before, others = 0.0, False
            for one in self._accepted.values():
                work, left = self._seconds(one.model, one.work), self._seconds(one.model, one.left)
                if work * left <= own * own:
                    before += left
                else:
                    others = True
            done = (before + own) / (1 - OLDEST_SHARE if others else 1)
            excess = max(done - own - self._bound, done - self._deadline)
            if self._accepted and excess > 0:
                raise EngineFull(done - own, retry_after=max(1, math.ceil(min(excess, self._deadline))))
            self._accepted[number] = _Accepted(job.model, job.network_evaluations, job.network_evaluations)

    def done(self, number: int, network_evaluations: int) -> None:
        """So much of the job has been computed, or will never be; nothing happens where the job is done."""
        with self._lock:
            one = self._accepted.get(number)
            if one is None:
                return
            one.left -= network_evaluations
            if one.left <= 0:
                del self._accepted[number]

    def _seconds(self, model: str, network_evaluations: int) -> float:
        return network_evaluations / self._curves[model].rate

    def _seconds_alone(self, job: Job) -> float:
        """What the job was measured to take while the device was idle: the estimate above may come from a busy one."""
        curve = self._curves[job.model]
        return sum(curve.idle_pass_seconds(len(job) * cost) for cost in job.network_evaluations_by_step)
