"""How much accepted work is not done, in estimated seconds of the device."""

import math
import threading

from service.engine.job import EngineFull, Job

RATE_MEMORY = 0.9  # of what was learned of a model's speed, what a new tick leaves


class Backlog:
    """Counted in by the event loop, counted down by the engine's thread: the one thing they share, hence the lock."""

    def __init__(self) -> None:
        self.rates: dict[str, float] = {}  # model → evaluations per second, in full ticks
        self._evaluations: dict[str, int] = {}
        self._lock = threading.Lock()

    def admit(self, job: Job, bound: float) -> None:
        """Count the job in. An idle engine takes any job, however large.

        Raises EngineFull where the job would pass the bound (seconds).
        """
        with self._lock:
            queued = sum(count / self.rates[model] for model, count in self._evaluations.items())
            excess = queued + job.evaluations / self.rates[job.model] - bound
            if queued and excess > 0:
                raise EngineFull(queued, retry_after=max(1, math.ceil(min(queued, excess))))
            self._evaluations[job.model] = self._evaluations.get(job.model, 0) + job.evaluations

    def done(self, model: str, evaluations: int) -> None:
        """So much has been computed, or will never be."""
        with self._lock:
            self._evaluations[model] -= evaluations

    def learn(self, model: str, evaluations: int, seconds: float, capacity: int) -> None:
        """A model's speed, from a tick that was at least half full; emptier ones say nothing of it."""
        if evaluations * 2 >= capacity:
            with self._lock:
                self.rates[model] = RATE_MEMORY * self.rates[model] + (1 - RATE_MEMORY) * evaluations / seconds
