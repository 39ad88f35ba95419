"""Paired differences with their uncertainty, and what a gain is worth in real rows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Difference:
    """mean ± half is an interval of the mean of paired differences (Student's t); half is ∞ for a single pair."""

    mean: float
    half: float

    @property
    def above_zero(self) -> bool:
        return self.mean - self.half > 0

    @property
    def below_zero(self) -> bool:
        return self.mean + self.half < 0


def paired(differences: Sequence[float], resolution: float, settings: int = 1) -> Difference:
    """Of at least one pair.

    resolution  what one test row changes: that differences deviate by less is chance, and no certainty
    settings    so many intervals hold together with the probability CONFIDENCE (Bonferroni's inequality: Dunn 1961)
    """
    n = len(differences)
    mean = float(np.mean(differences))
    if n < 2:
        return Difference(mean, math.inf)
    deviation = max(float(np.std(differences, ddof=1)), resolution)
    quantile = float(stats.t.ppf(1 - (1 - CONFIDENCE) / (2 * settings), n - 1))
    return Difference(mean, quantile * deviation / math.sqrt(n))


def worth(curve: Mapping[int, float], value: float) -> float | None:
    """The fewest real rows of each class that reach that value: the curve is interpolated along the logarithm of rows.

    curve  rows → accuracy with so many

    None beyond the curve's largest number of rows; the smallest number where all of the curve is above the value.
    """
    rows = sorted(curve)
    best = np.maximum.accumulate([curve[n] for n in rows])  # chance may make more rows worse
    if value > best[-1]:
        return None
    reached = int(np.searchsorted(best, value))
    around = slice(max(0, reached - 1), reached + 1)
    return float(np.exp(np.interp(value, best[around], np.log(rows[around]))))
