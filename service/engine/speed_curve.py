"""How long one pass of a model takes at each batch size: learned at warm-up, and from every tick after it."""

from collections.abc import Mapping

LEARNED = 0.15  # of what a tick says of its own size, on a logarithmic scale; the first few ticks say more
SHARED = 0.1  # … and of all others: a machine that slows down does so at every size
AS_GOOD_AS_BEST = 0.95  # of the best rate: past this a larger batch only makes everybody wait longer


class SpeedCurve:
    """Seconds a pass, by batch size (network evaluations, padding included).

    Sizes change no bits (see `buckets`), so they may be chosen by the clock.
    """

    def __init__(self, seconds: Mapping[int, float]):
        """`seconds` of one pass at each size, all positive."""
        self._seconds = dict(sorted(seconds.items()))
        self._idle = dict(self._seconds)
        self._seen = dict.fromkeys(self._seconds, 1)
        self.sizes = tuple(self._seconds)

    def learn(self, size: int, seconds: float, *, idle: bool) -> None:
        """One more pass of that size took so long; `idle`: for the only job there was."""
        self._seen[size] += 1
        own = max(LEARNED, 1 / self._seen[size])
        ratio = seconds / self._seconds[size]
        for each in self.sizes:
            self._seconds[each] *= ratio ** (own if each == size else SHARED)
        if idle:
            self._idle[size] *= (seconds / self._idle[size]) ** own

    def seconds(self, size: int) -> float:
        """That a pass takes as things are."""
        return self._seconds[size]

    def idle_seconds(self, size: int) -> float:
        """That a pass takes while there is nothing else to do: what promises are measured by. A busy server is slower
        at every size, for its requests want a part of the processor too."""
        return self._idle[size]

    def idle_pass_seconds(self, network_evaluations: int) -> float:
        """That one step of so many network evaluations takes on an idle device; beyond the knee in several passes."""
        if network_evaluations > self.knee:
            return network_evaluations / self.rate
        return self.idle_seconds(self.size_for(network_evaluations))

    def size_for(self, network_evaluations: int) -> int:
        """The smallest size that holds so many, or the largest there is."""
        return next((size for size in self.sizes if size >= network_evaluations), self.sizes[-1])

    def largest_within(self, seconds: float) -> int:
        """The largest size, up to the knee, whose pass takes no longer; the smallest there is where none does."""
        return max((size for size in self.sizes if size <= self.knee and self._seconds[size] <= seconds),
                   default=self.sizes[0])  # fmt: skip

    @property
    def rates(self) -> dict[int, float]:
        """Evaluations per second, by size."""
        return {size: size / seconds for size, seconds in self._seconds.items()}

    @property
    def knee(self) -> int:
        """The smallest size that is nearly as fast, by evaluation, as the fastest."""
        rates = self.rates
        enough = AS_GOOD_AS_BEST * max(rates.values())
        return next(size for size, rate in rates.items() if rate >= enough)

    @property
    def rate(self) -> float:
        """Evaluations per second at the knee: what a busy device does."""
        return self.rates[self.knee]
