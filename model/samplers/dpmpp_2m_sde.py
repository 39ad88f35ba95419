"""DPM-Solver++(2M) SDE (Lu22): the multistep solver with new noise at every step."""

import numpy as np

from model.sampler_spec import Columns, OptionValues, SamplerSpec, Strides
from model.samplers.dpmpp_2m import extrapolation


def _fill(columns: Columns, strides: Strides, options: OptionValues) -> None:
    """Second order, except the first step and the step into s = 0. Given the true x0, x_s has exactly the mean √ᾱ_s x0
    and the variance 1−ᾱ_s."""
    h = strides.h
    toward_data = -np.sqrt(strides.alpha_bar_s) * np.expm1(-2 * h)
    extrapolated = extrapolation(toward_data, h)
    deviation_t, deviation_s = np.sqrt(1 - strides.alpha_bar_t), np.sqrt(1 - strides.alpha_bar_s)
    columns["x"][:] = deviation_s / deviation_t * np.exp(-h)
    columns["x0"][:] = toward_data + extrapolated
    columns["x0_before"][:] = -extrapolated
    columns["noise"][:] = deviation_s * np.sqrt(-np.expm1(-2 * h))


SPEC = SamplerSpec(
    name="dpmpp-2m-sde",
    title="DPM-Solver++(2M) SDE",
    explanation="dpmpp-2m with new noise at every step",
    fill=_fill,
    stochastic=True,
    order=2,
    colour="#de2d9b",
)
