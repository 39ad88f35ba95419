"""How much accepted work is not done, in estimated seconds of the device."""

import math
import threading
from collections.abc import Mapping

from service.engine.job import EngineFull, Job
from service.engine.speed import SpeedCurve


class Backlog:
    """Counted in by the event loop, counted down by the engine's thread: the one thing they share, hence the lock."""

    def __init__(self, curves: Mapping[str, SpeedCurve]):
        self._curves = curves
        self._evaluations: dict[str, int] = {}
        self._lock = threading.Lock()

    @property
    def seconds(self) -> float:
        """Of the whole device, for all that is queued or running."""
        with self._lock:
            return self._seconds()

    def _seconds(self) -> float:
        return sum(count / self._curves[model].rate for model, count in self._evaluations.items())

    def admit(self, job: Job, bound: float) -> None:
        """Count the job in. An idle engine takes any job, however large.

        Raises EngineFull where the job would pass the bound (seconds).
        """
        with self._lock:
            queued = self._seconds()
            excess = queued + job.evaluations / self._curves[job.model].rate - bound
            if queued and excess > 0:
                raise EngineFull(queued, retry_after=max(1, math.ceil(min(queued, excess))))
            self._evaluations[job.model] = self._evaluations.get(job.model, 0) + job.evaluations

    def forget(self, model: str) -> None:
        """A model that nothing is queued for any more."""
        with self._lock:
            self._evaluations.pop(model, None)

    def done(self, model: str, evaluations: int) -> None:
        """So much has been computed, or will never be."""
        with self._lock:
            self._evaluations[model] -= evaluations
