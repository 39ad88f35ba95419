"""Which models have accepted jobs, on any worker."""

import threading
from collections import Counter


class ModelsInUse:
    """The event loop counts jobs in and out. Every worker asks before it lets go of a model that is retired: if another
    worker is lost, the jobs that it had are run again here."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[int, str] = {}  # their models, by the jobs' numbers
        self._counts: Counter[str] = Counter()

    def add(self, job: int, model: str) -> None:
        with self._lock:
            if job not in self._jobs:
                self._jobs[job] = model
                self._counts[model] += 1

    def done(self, job: int) -> None:
        """Nothing happens where it is done."""
        with self._lock:
            if (model := self._jobs.pop(job, None)) is not None:
                self._counts[model] -= 1
                self._counts += Counter()  # without those that have none

    def __contains__(self, model: str) -> bool:
        with self._lock:
            return self._counts[model] > 0
