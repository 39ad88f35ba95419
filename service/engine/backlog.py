"""How much accepted work is not done, in estimated seconds of the device."""

import math
import threading
from collections import Counter
from collections.abc import Mapping

from service.engine.job import EngineFull, Job
from service.engine.speed_curve import SpeedCurve

SHORT = 1 / 64  # of the bound: what takes no longer is a short job, which the scheduler lets go first …
KEPT_FOR_SHORT = 1 / 4  # … and for which so much of the bound is kept, whatever long ones wait


class Backlog:
    """Counted in by the event loop, counted down by the engine's thread: the one thing they share, hence the lock.

    bound     seconds of the device that may be queued
    deadline  seconds after which a job is given up: longer than that, nobody has to wait
    """

    def __init__(self, curves: Mapping[str, SpeedCurve], bound: float, deadline: float):
        self._curves, self._bound, self._deadline = curves, bound, deadline
        self._evaluations: Counter[tuple[str, bool]] = Counter()  # by model, and whether the job was short
        self._lock = threading.Lock()

    @property
    def seconds(self) -> float:
        """Of the whole device, for all that is queued or running."""
        with self._lock:
            return self._seconds(short=True) + self._seconds(short=False)

    def _seconds(self, *, short: bool) -> float:
        return sum(count / self._curves[model].rate for (model, of), count in self._evaluations.items() if of == short)

    def admit(self, job: Job) -> bool:
        """Count the job in; was it a short one? An idle engine takes any job, however large.

        Raises EngineFull where the job would pass the bound.
        """
        with self._lock:
            own = job.network_evaluations / self._curves[job.model].rate
            short = own <= SHORT * self._bound
            queued_short, queued_long = self._seconds(short=True), self._seconds(short=False)
            for_long = (1 - KEPT_FOR_SHORT) * self._bound
            if short:
                excess = queued_short + min(queued_long, for_long) + own - self._bound
            else:
                excess = queued_short + queued_long + own - for_long
            queued = queued_short + queued_long
            if queued and excess > 0:
                raise EngineFull(queued, retry_after=max(1, math.ceil(min(queued, excess, self._deadline))))
            self._evaluations[job.model, short] += job.network_evaluations
            return short

    def forget(self, model: str) -> None:
        """A model that nothing is queued for any more."""
        with self._lock:
            for short in (True, False):
                self._evaluations.pop((model, short), None)

    def done(self, model: str, network_evaluations: int, *, short: bool) -> None:
        """So much of short jobs, or of long ones, has been computed or will never be."""
        with self._lock:
            self._evaluations[model, short] -= network_evaluations
