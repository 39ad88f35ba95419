"""How long one pass of a model takes at each batch size: learned at warm-up, and from every tick after it."""

from collections.abc import Mapping

MEMORY = 0.9  # of what is known of a size, what one more tick leaves
AS_GOOD_AS_BEST = 0.95  # of the best rate: past this a larger batch only makes everybody wait longer


class SpeedCurve:
    """Seconds a pass, by batch size (network evaluations, padding included).

    Sizes change no bits (see `buckets`), so they may be chosen by the clock.
    """

    def __init__(self, seconds: Mapping[int, float]):
        """`seconds` of one pass at each size, all positive."""
        self._seconds = dict(sorted(seconds.items()))
        self.sizes = tuple(self._seconds)

    def learn(self, size: int, seconds: float) -> None:
        self._seconds[size] = MEMORY * self._seconds[size] + (1 - MEMORY) * seconds

    def seconds(self, size: int) -> float:
        return self._seconds[size]

    def size_for(self, evaluations: int) -> int:
        """The smallest size that holds so many, or the largest there is."""
        return next((size for size in self.sizes if size >= evaluations), self.sizes[-1])

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
