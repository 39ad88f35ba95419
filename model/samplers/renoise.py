"""Re-noising (Song 2023, algorithm 1): predict x̂0, then noise it again to the next timestep.

x̂0 is a posterior mean. Noising it loses the posterior's spread at every step, however many steps there are.
"""

import numpy as np

from model.sampler_spec import Columns, OptionValues, SamplerSpec, Strides, fill_mean


def _fill(columns: Columns, strides: Strides, options: OptionValues) -> None:
    """x_s ~ q(x_s|x̂0)."""
    variance = 1 - strides.alpha_bar_s
    fill_mean(columns, strides, variance)
    columns["noise"][:] = np.sqrt(variance)


SPEC = SamplerSpec(
    name="renoise",
    title="Re-noising",
    explanation="guess the end, noise it again: quick, and loses spread at every step",
    fill=_fill,
    stochastic=True,
    order=0,
    colour="#bdbdbd",
    reported=True,
)
