"""DPM-Solver++(2M) (Lu22 algorithm 2): a linear multistep solver of the probability-flow ODE."""

import numpy as np

from model.sampler_spec import Columns, Floats, OptionValues, SamplerSpec, Strides


def _fill(columns: Columns, strides: Strides, options: OptionValues) -> None:
    """Second order, except the first step and the step into s = 0."""
    h = strides.h
    toward_data = -np.sqrt(strides.alpha_bar_s) * np.expm1(-h)
    extrapolated = extrapolation(toward_data, h)
    columns["x"][:] = np.sqrt(1 - strides.alpha_bar_s) / np.sqrt(1 - strides.alpha_bar_t)
    columns["x0"][:] = toward_data + extrapolated
    columns["x0_before"][:] = -extrapolated


def extrapolation(toward_data: Floats, h: Floats) -> Floats:
    """The weight of x̂0 − x̂0_before: `toward_data`/(2r) with r = h_before/h, and 0 on the first and the last step."""
    weight = np.zeros_like(h)
    if len(h) > 2:
        weight[1:-1] = toward_data[1:-1] * h[1:-1] / (2 * h[:-2])
    return weight


SPEC = SamplerSpec(
    name="dpmpp-2m",
    title="DPM-Solver++(2M)",
    explanation="few steps are enough",
    fill=_fill,
    stochastic=False,
    order=2,
    colour="#31a354",
    reported=True,
)
