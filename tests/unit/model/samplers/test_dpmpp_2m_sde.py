"""The stochastic multistep solver against its paper's own form, without a random number."""

from itertools import pairwise

import numpy as np
import pytest

from model.noise_schedule import NoiseSchedule, make_schedule
from model.plan import Plan, make_plan
from model.timestep_spacing import trailing_timesteps

SCHEDULES = [make_schedule("cosine", 1000), make_schedule("linear", 1000)]
MEAN, VARIANCE = 0.7, 0.25**2

Moments = tuple[np.ndarray, np.ndarray]
"""Mean [2] and covariance [2, 2] of (x, x̂0 before) for Gaussian data."""


def posterior(alpha_bar: float) -> tuple[float, float]:
    """x̂0 = gain·x_t + offset for data N(MEAN, VARIANCE)."""
    gain = np.sqrt(alpha_bar) * VARIANCE / (alpha_bar * VARIANCE + 1 - alpha_bar)
    return gain, MEAN * (1 - gain * np.sqrt(alpha_bar))


def moved(moments: Moments, a: float, b: float, c: float, noise2: float, alpha_bar: float) -> Moments:
    """After x' = a·x + b·x̂0 + c·x̂0_before + noise."""
    mean, cov = moments
    gain, offset = posterior(alpha_bar)
    linear = np.array([[a + b * gain, c], [gain, 0.0]])
    return linear @ mean + np.array([b * offset, offset]), linear @ cov @ linear.T + np.diag([noise2, 0.0])


START: Moments = (np.zeros(2), np.diag([1.0, 0.0]))


def by_the_plan(plan: Plan, schedule: NoiseSchedule) -> list[Moments]:
    found = [START]
    for t, (a, b, c, d, *_) in zip(plan.t, plan.coefficients, strict=True):
        found.append(moved(found[-1], a, b, c, d**2, schedule.alpha_bar[t]))
    return found[1:]


def by_the_paper(schedule: NoiseSchedule, steps: int) -> list[Moments]:
    """SDE-DPM-Solver++(2M) (Lu22): x̂0 is extrapolated by r = h_before/h, except on the first and the last step."""
    found, h_before = [START], None
    for t, s in pairwise(trailing_timesteps(1000, steps)):
        alpha_t, alpha_s = np.sqrt(schedule.alpha_bar[[t, s]])
        sigma_t, sigma_s = np.sqrt(1 - schedule.alpha_bar[[t, s]])
        if s == 0:
            step = (0.0, 1.0, 0.0, 0.0)
        else:
            h = np.log(alpha_s / sigma_s) - np.log(alpha_t / sigma_t)
            share = 0.0 if h_before is None else h / (2 * h_before)  # 1/(2r)
            decay = alpha_s * (1 - np.exp(-2 * h))
            noise2 = sigma_s**2 * (1 - np.exp(-2 * h))
            step = (sigma_s / sigma_t * np.exp(-h), decay * (1 + share), -decay * share, noise2)
            h_before = h
        found.append(moved(found[-1], *step, schedule.alpha_bar[t]))
    return found[1:]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=["cosine", "linear"])
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 50, 1000])
def test_moments_of_a_gaussian_are_the_papers_at_every_step(schedule, steps):
    ours, papers = by_the_plan(make_plan(schedule, "dpmpp-2m-sde", steps), schedule), by_the_paper(schedule, steps)
    for one, other in zip(ours, papers, strict=True):
        np.testing.assert_allclose(one[0], other[0], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(one[1], other[1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("steps", [5, 20, 50])
def test_the_signal_of_a_gaussian_is_exact_at_every_step(steps):
    """The mean is √ᾱ_s·MEAN, however few the steps; x_T starts from 0 and not √ᾱ_T·MEAN, which is 3e-5."""
    schedule = SCHEDULES[0]
    plan = make_plan(schedule, "dpmpp-2m-sde", steps)
    means = [mean[0] for mean, _ in by_the_plan(plan, schedule)]
    np.testing.assert_allclose(means, MEAN * np.sqrt(schedule.alpha_bar[plan.s]), rtol=0, atol=5e-5)


def test_a_step_of_first_order_is_the_exact_posterior_of_the_chain():
    """Given x̂0, one step of the SDE is q(x_s|x_t, x̂0), as HJA20 has it: there is no step before to learn from."""
    schedule = SCHEDULES[0]
    ours, ddpm = (make_plan(schedule, name, 20) for name in ("dpmpp-2m-sde", "ddpm"))
    np.testing.assert_allclose(ours.coefficients[0, :4], ddpm.coefficients[0, :4], rtol=1e-9, atol=1e-12)
