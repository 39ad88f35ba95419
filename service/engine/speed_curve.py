"""How long one pass of a model takes at each batch size: learned at warm-up, and from every tick after it."""

from bisect import bisect_left
from collections.abc import Callable, Mapping

LEARNED = 0.15  # of what a tick says of its own size, on a logarithmic scale; the first few ticks say more
SHARED = 0.1  # … and of all others: a machine that slows down does so at every size
AS_GOOD_AS_BEST = 0.95  # of the best rate: past this a larger batch only makes everybody wait longer


class SpeedCurve:
    """Seconds a pass, by batch size (network evaluations, padding included).

    sizes    those that are measured
    any_size a pass may have any size up to the largest, and takes what lies between its neighbours in `sizes`;
             otherwise it has one of `sizes`, and is padded to it

    Sizes change no bits (see `buckets`), so they may be chosen by the clock.
    """

    def __init__(self, seconds: Mapping[int, float], *, any_size: bool = False):
        """`seconds` of one pass at each size, all positive."""
        self.sizes = tuple(sorted(seconds))
        assert not any_size or self.sizes[0] == 1, "below the smallest measured size nothing is known"
        self.any_size = any_size
        self._seconds = {size: seconds[size] for size in self.sizes}
        self._idle = dict(self._seconds)
        self._seen = dict.fromkeys(self.sizes, 1.0)

    def learn(self, size: int, seconds: float, *, idle: bool) -> None:
        """One more pass of that size took so long; `idle`: for the only job there was."""
        near = self._neighbours(size)
        ratio, idle_ratio = seconds / self.seconds(size), seconds / self.idle_seconds(size)
        for each in self.sizes:
            if each not in near:
                self._seconds[each] *= ratio**SHARED
                continue
            self._seen[each] += near[each]
            learned = max(LEARNED, 1 / self._seen[each])
            # A size that is hardly near learns no less than one that is not: else two sizes drive each other away.
            self._seconds[each] *= ratio ** (SHARED + near[each] * (learned - SHARED))
            if idle:
                self._idle[each] *= idle_ratio ** (near[each] * learned)

    def seconds(self, size: int) -> float:
        """That a pass takes as things are."""
        return sum(share * self._seconds[near] for near, share in self._neighbours(size).items())

    def idle_seconds(self, size: int) -> float:
        """That a pass takes while there is nothing else to do: what promises are measured by. A busy server is slower
        at every size, for its requests want a part of the processor too."""
        return sum(share * self._idle[near] for near, share in self._neighbours(size).items())

    def pass_seconds(self, network_evaluations: int) -> float:
        """That one step of so many network evaluations takes as things are; beyond the knee in several passes."""
        return self._step_seconds(network_evaluations, self.seconds)

    def idle_pass_seconds(self, network_evaluations: int) -> float:
        """The same on an idle device."""
        return self._step_seconds(network_evaluations, self.idle_seconds)

    def _step_seconds(self, network_evaluations: int, seconds: Callable[[int], float]) -> float:
        knee = self.knee
        if network_evaluations > knee:
            return network_evaluations / knee * seconds(knee)
        return seconds(self.size_for(network_evaluations))

    def size_for(self, network_evaluations: int) -> int:
        """The smallest size that holds so many, or the largest there is."""
        if self.any_size:
            return min(network_evaluations, self.sizes[-1])
        return next((size for size in self.sizes if size >= network_evaluations), self.sizes[-1])

    def largest_within(self, seconds: float) -> int:
        """The largest size, up to the knee, whose pass takes no longer; the smallest there is where none does."""
        knee = self.knee
        fitting = [size for size in self.sizes if size <= knee and self._seconds[size] <= seconds]
        largest = max(fitting, default=self.sizes[0])
        if not self.any_size or largest == knee or not fitting:
            return largest
        following = self.sizes[self.sizes.index(largest) + 1]
        share = (seconds - self.seconds(largest)) / (self.seconds(following) - self.seconds(largest))
        return largest + int(min(share, 1) * (following - largest))

    @property
    def rates(self) -> dict[int, float]:
        """Evaluations per second, by measured size."""
        return {size: size / seconds for size, seconds in self._seconds.items()}

    @property
    def knee(self) -> int:
        """The smallest measured size that is nearly as fast, by evaluation, as the fastest."""
        rates = self.rates
        enough = AS_GOOD_AS_BEST * max(rates.values())
        return next(size for size, rate in rates.items() if rate >= enough)

    @property
    def rate(self) -> float:
        """Evaluations per second at the knee: what a busy device does."""
        return self.rates[self.knee]

    def _neighbours(self, size: int) -> dict[int, float]:
        """The measured sizes that a size lies between, each with its share; the shares add up to 1.

        Raises KeyError for a size that is never run.
        """
        if size in self._seconds:
            return {size: 1.0}
        if not self.any_size:
            raise KeyError(size)
        above = bisect_left(self.sizes, size)
        if above in (0, len(self.sizes)):  # outside: as the nearest
            return {self.sizes[min(above, len(self.sizes) - 1)]: 1.0}
        lower, upper = self.sizes[above - 1 : above + 1]
        share = (size - lower) / (upper - lower)
        return {lower: 1 - share, upper: share}
