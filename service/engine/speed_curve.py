"""How long one pass of a model takes at each batch size: learned at warm-up, and from every tick after it."""

from collections.abc import Mapping

import numpy as np

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
        self.any_size = any_size
        self._seconds = np.array([seconds[size] for size in self.sizes])
        self._idle = self._seconds.copy()
        self._seen = np.ones(len(self.sizes))

    def learn(self, size: int, seconds: float, *, idle: bool) -> None:
        """One more pass of that size took so long; `idle`: for the only job there was."""
        near = self._nearness(size)
        self._seen += near
        own = near * np.maximum(LEARNED, 1 / self._seen)
        self._seconds *= (seconds / self.seconds(size)) ** np.where(near > 0, own, SHARED)
        if idle:
            self._idle *= (seconds / self.idle_seconds(size)) ** own

    def seconds(self, size: int) -> float:
        """That a pass takes as things are."""
        return float(self._nearness(size) @ self._seconds)

    def idle_seconds(self, size: int) -> float:
        """That a pass takes while there is nothing else to do: what promises are measured by. A busy server is slower
        at every size, for its requests want a part of the processor too."""
        return float(self._nearness(size) @ self._idle)

    def idle_pass_seconds(self, network_evaluations: int) -> float:
        """That one step of so many network evaluations takes on an idle device; beyond the knee in several passes."""
        if network_evaluations > self.knee:
            return network_evaluations / self.rate
        return self.idle_seconds(self.size_for(network_evaluations))

    def size_for(self, network_evaluations: int) -> int:
        """The smallest size that holds so many, or the largest there is."""
        if self.any_size:
            return min(network_evaluations, self.sizes[-1])
        return next((size for size in self.sizes if size >= network_evaluations), self.sizes[-1])

    def largest_within(self, seconds: float) -> int:
        """The largest size, up to the knee, whose pass takes no longer; the smallest there is where none does."""
        knee = self.knee
        fitting = [
            size
            for size, own in zip(self.sizes, self._seconds.tolist(), strict=True)
            if size <= knee and own <= seconds
        ]
        largest = max(fitting, default=self.sizes[0])
        if not self.any_size or largest == knee or not fitting:
            return largest
        following = self.sizes[self.sizes.index(largest) + 1]
        share = (seconds - self.seconds(largest)) / (self.seconds(following) - self.seconds(largest))
        return largest + int(min(share, 1) * (following - largest))

    @property
    def rates(self) -> dict[int, float]:
        """Evaluations per second, by measured size."""
        return {size: size / seconds for size, seconds in zip(self.sizes, self._seconds.tolist(), strict=True)}

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

    def _nearness(self, size: int) -> np.ndarray:
        """[sizes], adds up to 1: how near a size is to each measured one. Raises KeyError for a size never run."""
        near = np.zeros(len(self.sizes))
        above = int(np.searchsorted(self.sizes, size))
        if above < len(self.sizes) and self.sizes[above] == size:
            near[above] = 1
            return near
        if not self.any_size:
            raise KeyError(size)
        if above == 0 or above == len(self.sizes):  # outside: as the nearest
            near[min(above, len(self.sizes) - 1)] = 1
            return near
        below, upper = self.sizes[above - 1], self.sizes[above]
        near[above] = (size - below) / (upper - below)
        near[above - 1] = 1 - near[above]
        return near
