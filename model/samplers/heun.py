"""Heun's method for the probability-flow ODE (Karras 2022 algorithm 1), with two network evaluations a step."""

import numpy as np

from model.sampler_spec import Columns, OptionValues, SamplerSpec, Strides, fill_mean


def _fill(columns: Columns, strides: Strides, options: OptionValues) -> None:
    """Karras 2022 algorithm 1 with σ(τ) = τ/(1−τ) and s(τ) = 1−τ; Euler alone on the step into s = 0.

    The first row of a step, t → s, is the Euler step, which is DDIM's. The second row, s → s, replaces its slope by the
    mean of the slopes at both ends: x_s += √ᾱ_s·w·(x̂0 at s − x̂0 at t) with w = (τ_t − τ_s)/(2·τ_s·(1 − τ_s)).

    Time τ runs from 1 to 0. The choice σ(τ) = τ, s(τ) = 1 would have w = (σ_t − σ_s)/(2·σ_s): about 300 on the first
    step of the cosine schedule, where σ_T is 20,000.
    """
    fill_mean(columns, strides, np.zeros_like(strides.alpha_bar_t))
    corrector = np.flatnonzero(strides.evaluation == 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        sigma_t = np.sqrt(1 / strides.alpha_bar_t[corrector - 1] - 1)
        tau_t = np.where(np.isinf(sigma_t), 1.0, sigma_t / (1 + sigma_t))
    sigma_s = np.sqrt(1 / strides.alpha_bar_s[corrector] - 1)
    tau_s = sigma_s / (1 + sigma_s)
    weight = (tau_t - tau_s) / (2 * tau_s * (1 - tau_s)) * np.sqrt(strides.alpha_bar_s[corrector])
    columns["x0"][corrector] += weight
    columns["x0_before"][corrector] = -weight


SPEC = SamplerSpec(
    name="heun",
    title="Heun",
    explanation="deterministic; each step except the last evaluates the network twice",
    fill=_fill,
    stochastic=False,
    order=2,
    evaluations_per_step=2,
    colour="#756bb1",
)
