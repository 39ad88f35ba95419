"""Jobs that could not go on in this process, and are not tried again for a while."""

import time


class Resting:
    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def add(self, job: str, waited: float, least: float) -> None:
        """`waited` seconds it took to see that the job cannot go on. It rests for `least` seconds, and until every
        other one that rests could be tried: so jobs that came later have their turn too."""
        others = len(self.jobs - {job})
        self._until[job] = time.monotonic() + max(least, waited * (others + 1))

    @property
    def jobs(self) -> set[str]:
        now = time.monotonic()
        self._until = {job: until for job, until in self._until.items() if until > now}
        return set(self._until)
