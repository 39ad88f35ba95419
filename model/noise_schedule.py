"""How much of the data is left at each timestep: ᾱ(t)."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from model.sampler_spec import Floats
from model.timestep_spacing import TRAILING, TimestepSpacing

ScheduleName = Literal["cosine", "linear", "log-linear"]

COSINE_OFFSET = 0.008  # s of ND21 eq. 17: keeps β near t = 0 from vanishing
MAX_BETA = 0.999  # ND21 section 3.2: no singularity at t = T
LINEAR_BETAS = (1e-4, 0.02)  # HJA20 section 4, for T = 1000
LOG_LINEAR_LEVELS = (0.01, 80.0)  # σ_1 and σ_T, beside data of unit variance

# Sampling starts from N(0, I). A schedule whose x_T still shows the data by more than this starts from the wrong place.
MAX_TERMINAL_SIGNAL = 0.1


@dataclass(frozen=True, eq=False)
class NoiseSchedule:
    """ᾱ_t for t = 0 … T, in q(x_t|x_0) = N(√ᾱ_t x_0, (1−ᾱ_t) I) (HJA20 eq. 4).

    alpha_bar  T + 1 entries in float64: entry 0 is the data itself (ᾱ = 1), entry T is (almost) pure noise. Where a
               model of another library ends a run at ᾱ_1 instead, entry 0 is ᾱ_1
    spacing    the timesteps that a run from pure noise visits
    """

    alpha_bar: np.ndarray
    spacing: TimestepSpacing = TRAILING

    @property
    def T(self) -> int:
        return len(self.alpha_bar) - 1

    @property
    def beta(self) -> np.ndarray:
        """β_t for t = 1 … T, at index t − 1: β_t = 1 − ᾱ_t/ᾱ_{t−1}."""
        beta: np.ndarray = 1 - self.alpha_bar[1:] / self.alpha_bar[:-1]
        return beta

    @property
    def noise_level(self) -> np.ndarray:
        """σ_t for t = 0 … T: √((1−ᾱ_t)/ᾱ_t), the noise's deviation beside data of scale 1, x_t/√ᾱ_t = x_0 + σ_t ε.

        Infinite where x_t shows nothing of the data.
        """
        with np.errstate(divide="ignore"):
            noise_level: np.ndarray = np.sqrt((1 - self.alpha_bar) / self.alpha_bar)
        return noise_level


def make_schedule(name: ScheduleName, T: int) -> NoiseSchedule:
    """The named schedule with T ≥ 1 steps.

    cosine      ND21 eq. 17 with β ≤ 0.999
    linear      HJA20's, its β range scaled by 1000/T because it belongs to T = 1000
    log-linear  log σ_t, and so the log-SNR, is linear in t (Kingma 2021 section 6.1): the last steps of a short run are
                short in σ, as points on thin curves need

    Raises ValueError where the schedule does not end in noise or leaves 0 < β < 1.
    """
    if T < 1:
        raise ValueError(f"a schedule needs at least 1 timestep, got T = {T}")
    if name == "log-linear":
        return NoiseSchedule(_log_linear_alpha_bar(T))
    if name == "cosine":
        beta = cosine_betas(T)
    elif name == "linear":
        beta = np.linspace(*LINEAR_BETAS, T) * 1000 / T
        if beta[-1] >= 1:
            raise ValueError(
                f"the linear schedule needs more than 20 timesteps, got T = {T}: use cosine, or a larger T"
            )
    else:
        raise ValueError(f"unknown schedule {name!r}: use cosine, linear or log-linear")
    alpha_bar = np.concatenate([[1.0], np.cumprod(1 - beta)])
    if np.sqrt(alpha_bar[-1]) > MAX_TERMINAL_SIGNAL:
        raise ValueError(
            f"the {name} schedule with T = {T} does not end in noise: √ᾱ_T = {np.sqrt(alpha_bar[-1]):.2g}, "
            f"more than {MAX_TERMINAL_SIGNAL}; use a larger T"
        )
    return NoiseSchedule(alpha_bar)


def cosine_betas(T: int) -> Floats:
    """β_t for t = 1 … T (ND21 eq. 17), at most MAX_BETA."""
    t = np.arange(T + 1) / T
    f = np.cos((t + COSINE_OFFSET) / (1 + COSINE_OFFSET) * np.pi / 2) ** 2
    beta: Floats = np.minimum(1 - f[1:] / f[:-1], MAX_BETA)
    return beta


def _log_linear_alpha_bar(T: int) -> np.ndarray:
    """ᾱ_t = 1/(1 + σ_t²) for t = 0 … T; σ_0 = 0, and with T = 1 the only level is the highest."""
    low, high = LOG_LINEAR_LEVELS
    sigma = np.geomspace(high, low, T)[::-1]
    return np.concatenate([[1.0], 1 / (1 + sigma**2)])
