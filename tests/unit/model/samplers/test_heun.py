"""Heun's two rows a step against its paper's own form."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from model.conditions import NO_LABEL
from model.noise import normal
from model.noise_schedule import make_schedule
from model.plan import make_plan
from model.sampler_spec import COLUMNS
from model.timestep_spacing import trailing_timesteps
from tests.oracles import MixtureOracle

SCHEDULES = [make_schedule("cosine", 1000), make_schedule("linear", 1000)]
N = 1000
X_T = normal(torch.arange(N), torch.zeros(N, dtype=torch.int64), (2,)).double()


class Mixture:
    """x̂0 of two Gaussians in float64, as a function of x_t and ᾱ_t."""

    def __init__(self, schedule):
        self._oracle = MixtureOracle(schedule, [[1.0, 1.0], [-1.0, -1.0]], 0.25)

    def x0(self, x_t: torch.Tensor, alpha_bar: float) -> torch.Tensor:
        level = torch.full((len(x_t),), alpha_bar, dtype=torch.float64)
        return self._oracle.posterior_mean(x_t, level, torch.full((len(x_t),), NO_LABEL))


def by_the_plan(mixture: Mixture, schedule, steps: int) -> torch.Tensor:
    plan = make_plan(schedule, "heun", steps)
    x, before = X_T, torch.zeros_like(X_T)
    for t, (a, b, c, *_) in zip(plan.t, plan.coefficients, strict=True):
        x0 = mixture.x0(x, schedule.alpha_bar[t])
        x, before = a * x + b * x0 + c * before, x0
    return x


def by_algorithm_1(mixture: Mixture, schedule, steps: int) -> torch.Tensor:
    """Karras 2022 algorithm 1 for σ(τ) = τ/(1−τ), s(τ) = 1−τ, in its own variables: y = s·z with z = x/√ᾱ."""

    def slope(y, tau):
        sigma, s, d_sigma, d_s = tau / (1 - tau), 1 - tau, 1 / (1 - tau) ** 2, -1.0
        alpha_bar = 1 / (1 + sigma**2)
        denoised = mixture.x0(y / s * np.sqrt(alpha_bar), alpha_bar)
        return (d_sigma / sigma + d_s / s) * y - d_sigma * s / sigma * denoised

    sigma = np.sqrt((1 - schedule.alpha_bar) / schedule.alpha_bar)
    tau = sigma / (1 + sigma)
    y = X_T / np.sqrt(schedule.alpha_bar[-1]) * (1 - tau[-1])
    for t, s in pairwise(trailing_timesteps(1000, steps)):
        d = slope(y, tau[t])
        euler = y + (tau[s] - tau[t]) * d
        y = euler if tau[s] == 0 else y + (tau[s] - tau[t]) * (d + slope(euler, tau[s])) / 2
    return y  # at the data s = 1 and ᾱ = 1


@pytest.mark.parametrize("schedule", SCHEDULES, ids=["cosine", "linear"])
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 20, 50])
def test_the_two_rows_of_a_step_are_algorithm_1(schedule, steps):
    mixture = Mixture(schedule)
    direct = by_algorithm_1(mixture, schedule, steps)
    torch.testing.assert_close(by_the_plan(mixture, schedule, steps), direct, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("steps", [1, 2, 10])
def test_the_first_row_of_a_step_is_ddim(steps):
    heun, ddim = (make_plan(SCHEDULES[0], name, steps) for name in ("heun", "ddim"))
    for array in ("t", "s"):
        np.testing.assert_array_equal(getattr(heun, array)[::2], getattr(ddim, array))
    for column in set(COLUMNS) - {"clipped_off"}:  # ddim alone may take the network's own ε̂
        np.testing.assert_array_equal(heun.column(column)[::2], ddim.column(column))


def test_the_second_row_stays_at_its_timestep_and_corrects_by_the_change_of_x0():
    plan = make_plan(SCHEDULES[0], "heun", 10)
    np.testing.assert_array_equal(plan.t[1::2], plan.s[1::2])
    np.testing.assert_array_equal(plan.t[1::2], plan.s[:-1:2])
    np.testing.assert_array_equal(plan.column("x")[1::2], 1)
    np.testing.assert_array_equal(plan.column("x0")[1::2], -plan.column("x0_before")[1::2])
    assert (plan.column("x0")[1::2] > 0).all()


def test_what_is_wrong_at_the_data_is_the_last_step_which_is_eulers():
    """From exactly the right place that step alone errs as much."""
    schedule, steps = SCHEDULES[0], 100
    oracle = MixtureOracle(schedule, [[1.0, 1.0], [-1.0, -1.0]], 0.25)
    exact = oracle.flow(X_T, 1000, 0)
    mixture, last = Mixture(schedule), int(make_plan(schedule, "heun", steps).t[-1])
    alone = mixture.x0(oracle.flow(X_T, 1000, last), schedule.alpha_bar[last])

    def error(x):
        return (x - exact).norm(dim=1).mean().item()

    assert error(by_the_plan(mixture, schedule, steps)) == pytest.approx(error(alone), rel=0.1)
