"""Noise schedules as other libraries define them: by β_t, between two ends that the user gives."""

from typing import Literal, get_args

import numpy as np

from model.noise_schedule import cosine_betas
from model.sampler_spec import Floats

BetaCurve = Literal["linear", "scaled-linear", "sigmoid", "cosine"]
BETA_CURVES: tuple[BetaCurve, ...] = get_args(BetaCurve)

SIGMOID_ENDS = (-6.0, 6.0)  # between which the logistic function is read


def make_betas(curve: BetaCurve, T: int, beta_range: tuple[float, float]) -> Floats:
    """β_t for t = 1 … T, float64 [T].

    linear         β rises evenly from one end to the other (HJA20 section 4); the ends are not scaled by 1000/T
    scaled-linear  √β rises evenly, as in latent diffusion (Rombach 2022)
    sigmoid        β rises by the logistic function, as in GeoDiff (Xu 2022)
    cosine         ND21 eq. 17 with β ≤ 0.999; `beta_range` is not read
    """
    first, last = beta_range
    if curve == "linear":
        return np.linspace(first, last, T)
    if curve == "scaled-linear":
        squared: Floats = np.linspace(first**0.5, last**0.5, T) ** 2
        return squared
    if curve == "sigmoid":
        logistic: Floats = 1 / (1 + np.exp(-np.linspace(*SIGMOID_ENDS, T)))
        return first + (last - first) * logistic
    return cosine_betas(T)


def with_zero_terminal_snr(betas: Floats) -> Floats:
    """The same with ᾱ_T = 0: √ᾱ is shifted and scaled so that it ends at 0 and ᾱ_1 stays (Lin 2024 algorithm 1)."""
    root = np.sqrt(np.cumprod(1 - betas))
    root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    alpha_bar = np.concatenate([[1.0], root**2])
    rescaled: Floats = 1 - alpha_bar[1:] / alpha_bar[:-1]
    return rescaled
