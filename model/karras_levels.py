"""Noise levels between two ends, denser where there is little noise (Karras 2022 eq. 5)."""

from dataclasses import dataclass
from typing import TypeVar

from numpy import ndarray
from torch import Tensor

ArrayT = TypeVar("ArrayT", ndarray, Tensor)


@dataclass(frozen=True)
class KarrasLevels:
    """σ_t for timesteps t, 0 … T: `low` at 0, `high` at T, and σ^(1/ρ) even between them."""

    T: int
    low: float
    high: float
    rho: float

    def __call__(self, t: ArrayT) -> ArrayT:
        """`t` in floating point, of any shape, to the levels there."""
        low, high = self.low ** (1 / self.rho), self.high ** (1 / self.rho)
        levels: ArrayT = (high + (self.T - t) / self.T * (low - high)) ** self.rho
        return levels
