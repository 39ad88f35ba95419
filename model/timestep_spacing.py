"""Which timesteps a run of fewer than T steps visits."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from model.sampler_spec import Integers

SpacingName = Literal["trailing", "leading", "linspace"]


def trailing_timesteps(T: int, steps: int) -> Integers:
    """`steps` + 1 timesteps from T down to 0, evenly spaced and starting at T, for any 1 ≤ steps ≤ T.

    Spacing that ends at 1 instead ("leading") never sees pure noise and paints grey (Lin 2024, section 3.3).
    """
    _check(T, steps)
    return np.rint(np.linspace(T, 0, steps + 1)).astype(np.int64)


@dataclass(frozen=True)
class TimestepSpacing:
    """The spacing that a model is sampled with (Lin 2024 table 2).

    trailing  ends at 0 and begins at T: Spirale's own, see `trailing_timesteps`
    leading   counts up from 1 in strides of ⌊T/steps⌋, then `offset` more; T itself is seldom visited
    linspace  evenly from 1 to T, both of them included, rounded
    descending  counts down from T in strides of ⌊(T + 1)/steps⌋, as consistency models do; a run of as many steps as
              `listed` has visits these instead

    A lone step by leading or linspace begins next to the sample, as it does in diffusers: what comes out is noise.
    Timesteps are 1 … T, one more than in libraries that count them from 0.
    """

    name: SpacingName | Literal["descending"] = "trailing"
    offset: int = 0
    listed: tuple[int, ...] = ()

    def timesteps(self, T: int, steps: int) -> Integers:
        """`steps` + 1 timesteps, from the first that is visited down to 0, for any 1 ≤ steps ≤ T."""
        _check(T, steps)
        if self.name == "trailing":
            return trailing_timesteps(T, steps)
        if self.name == "descending":
            strided = tuple(T - np.arange(steps, dtype=np.int64) * ((T + 1) // steps))
            return np.array([*(self.listed if steps == len(self.listed) else strided), 0], np.int64)
        if self.name == "linspace":
            visited = 1 + np.linspace(0, T - 1, steps).round().astype(np.int64)
        else:
            stride = T // steps
            last = 1 + (steps - 1) * stride
            visited = 1 + np.arange(steps, dtype=np.int64) * stride + min(self.offset, T - last)  # never beyond T
        return np.append(visited[::-1], 0)


TRAILING = TimestepSpacing()


def _check(T: int, steps: int) -> None:
    """Raises ValueError where there cannot be so many steps."""
    if not 1 <= steps <= T:
        raise ValueError(f"steps must be 1 … {T}, got {steps}")
