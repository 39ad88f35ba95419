"""A sampler is a table: one row per step, its timesteps and its coefficients.

Every sampler here is the same update with other numbers,

    x_s = A·x_t + B·x̂0 + C·x̂0_before + D·z,        z ~ N(0, I),

so rows on different samplers, step counts and timesteps can share one forward pass and one fused update
(`model.step`). Nothing here knows of a network; everything is float64.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np

from model.noise_schedule import NoiseSchedule

Sampler = Literal["ddpm", "renoise", "ddim", "dpmpp-2m"]
Variance = Literal["fixed-small", "fixed-large", "learned"]

SAMPLERS: tuple[Sampler, ...] = get_args(Sampler)

# The columns that `step` gathers. For a learned variance D is formed per element from the three after D. The last is by
# how much a guiding gradient moves x̂0: 0 for `ddpm`, whose mean it moves instead.
COLUMNS = ("x", "x0", "x0_before", "noise", "log_beta", "log_beta_tilde", "learned", "x0_gradient")


def variances_of(learned: bool) -> tuple[Variance, ...]:
    """What `ddpm` may use: the two fixed ones, and the model's own if it has learned one."""
    return get_args(Variance) if learned else ("fixed-small", "fixed-large")


@dataclass(frozen=True, eq=False)
class Plan:
    """The whole of a sampling run, laid out before it starts.

    t             [steps] int64    timestep at which the network is asked, from T down
    s             [steps] int64    timestep the step arrives at; the last is 0
    noise_level   [steps] float64  σ at t, see `NoiseSchedule.noise_level`
    coefficients  [steps, len(COLUMNS)] float64
    """

    t: np.ndarray
    s: np.ndarray
    noise_level: np.ndarray
    coefficients: np.ndarray

    def __len__(self) -> int:
        return len(self.t)

    @property
    def stochastic(self) -> np.ndarray:
        """[steps] bool: does this step draw noise?"""
        return (self.column("noise") > 0) | (self.column("learned") > 0)

    def column(self, name: str) -> np.ndarray:
        return self.coefficients[:, COLUMNS.index(name)]


def trailing_timesteps(T: int, steps: int) -> np.ndarray:
    """`steps` + 1 timesteps from T down to 0, evenly spaced and starting at T, for any 1 ≤ steps ≤ T.

    Spacing that ends at 1 instead ("leading") never sees pure noise and paints grey (Lin 2024, section 3.3).
    """
    if not 1 <= steps <= T:
        raise ValueError(f"steps must be 1 … {T}, got {steps}")
    return np.rint(np.linspace(T, 0, steps + 1)).astype(np.int64)


def make_plan(
    schedule: NoiseSchedule,
    sampler: Sampler,
    steps: int,
    *,
    eta: float = 0.0,
    variance: Variance = "fixed-small",
) -> Plan:
    """The plan of `steps` updates with this sampler over trailing timesteps.

    eta       0 … 1, for `ddim` (SME20 eq. 16): 0 deterministic, 1 as noisy as DDPM
    variance  for `ddpm`: β̃ (HJA20 section 3.2), β, or ND21 eq. 15

    `renoise` adds fresh noise to x̂0 at every step (Song 2023, algorithm 1).

    Raises ValueError on anything out of range.
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"eta must be 0 … 1, got {eta}")
    if variance not in get_args(Variance):
        raise ValueError(f"unknown variance {variance!r}: use one of {', '.join(get_args(Variance))}")
    timesteps = trailing_timesteps(schedule.T, steps)
    t, s = timesteps[:-1], timesteps[1:]
    alpha_bar_t, alpha_bar_s = schedule.alpha_bar[t], schedule.alpha_bar[s]
    coefficients = np.zeros((steps, len(COLUMNS)))
    column = dict(zip(COLUMNS, coefficients.T, strict=True))

    if sampler == "dpmpp-2m":
        _fill_dpmpp_2m(column, alpha_bar_t, alpha_bar_s)
    else:
        beta = 1 - alpha_bar_t / alpha_bar_s  # of this stride, never of the full chain
        beta_tilde = (1 - alpha_bar_s) / (1 - alpha_bar_t) * beta
        if sampler == "ddim":
            tau2, noise = eta**2 * beta_tilde, eta * np.sqrt(beta_tilde)
        elif sampler == "renoise":
            tau2, noise = 1 - alpha_bar_s, np.sqrt(1 - alpha_bar_s)
        elif sampler == "ddpm":
            tau2 = beta_tilde
            noise = np.sqrt({"fixed-small": beta_tilde, "fixed-large": beta, "learned": 0 * beta}[variance])
            if variance == "learned":
                column["log_beta"][:] = np.log(beta)
                column["log_beta_tilde"][:] = _log_beta_tilde(beta_tilde, beta)
                column["learned"][:-1] = 1
        else:
            raise ValueError(f"unknown sampler {sampler!r}: use one of {', '.join(SAMPLERS)}")
        # x_s = √ᾱ_s x̂0 + √(1−ᾱ_s−τ²) ε̂ + D z with ε̂ = (x_t − √ᾱ_t x̂0)/√(1−ᾱ_t) (SME20 eq. 12)
        column["x"][:] = np.sqrt(np.maximum(1 - alpha_bar_s - tau2, 0)) / np.sqrt(1 - alpha_bar_t)
        column["x0"][:] = np.sqrt(alpha_bar_s) - column["x"] * np.sqrt(alpha_bar_t)
        column["noise"][:] = noise
        column["noise"][-1] = 0  # no noise on the step that arrives at the data
    if sampler != "ddpm":
        column["x0_gradient"][:] = (1 - alpha_bar_t) / np.sqrt(alpha_bar_t)
    noise_level = schedule.noise_level[t]
    for array in (t, s, noise_level, coefficients):
        array.setflags(write=False)
    return Plan(t, s, noise_level, coefficients)


cached_plan = lru_cache(maxsize=256)(make_plan)
"""`make_plan`, remembered: a service sees the same few plans again and again. NoiseSchedule hashes by identity."""


def _fill_dpmpp_2m(column: dict[str, np.ndarray], alpha_bar_t: np.ndarray, alpha_bar_s: np.ndarray) -> None:
    """DPM-Solver++(2M) (Lu22 algorithm 2), first order on the first step and on the one into s = 0."""
    a_s, b_t, b_s = np.sqrt(alpha_bar_s), np.sqrt(1 - alpha_bar_t), np.sqrt(1 - alpha_bar_s)
    with np.errstate(divide="ignore"):
        lambda_t = np.log(np.sqrt(alpha_bar_t)) - np.log(b_t)
        lambda_s = np.log(a_s) - np.log(b_s)  # infinite at s = 0, where e^{−h} = 0
    h = lambda_s - lambda_t
    toward_data = -a_s * np.expm1(-h)
    second_order = np.zeros_like(h)
    if len(h) > 2:
        second_order[1:-1] = toward_data[1:-1] * h[1:-1] / (2 * h[:-2])  # 1/(2r), r = h_before/h
    column["x"][:] = b_s / b_t
    column["x0"][:] = toward_data + second_order
    column["x0_before"][:] = -second_order


def _log_beta_tilde(beta_tilde: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """log β̃, where the last step's (β̃ = 0) is replaced by the step's before it (ND21's own remedy)."""
    clipped = beta_tilde.copy()
    clipped[-1] = beta_tilde[-2] if len(beta_tilde) > 1 else beta[-1]
    return np.log(clipped)
