"""One update of many rows at once."""

import numpy as np
import pytest
import torch

from model.conditions import Conditions
from model.denoiser import Denoiser
from model.noise_schedule import make_schedule
from model.plan import make_plan
from model.prediction import Prediction
from model.sampler_spec import COLUMNS
from model.step import step

SCHEDULE = make_schedule("cosine", 1000)


def at(plan, index: int) -> torch.Tensor:
    return torch.tensor(plan.coefficients[index], dtype=torch.float32)


def test_a_step_is_the_sum_of_its_four_terms():
    numbers = dict.fromkeys(COLUMNS, 0.0) | dict(x=2.0, x0=3.0, x0_before=5.0, noise=7.0)
    x, x0, before, noise = torch.tensor([[1.0, -1.0]]), torch.tensor([[10.0, 20.0]]), torch.ones(1, 2), torch.eye(2)[:1]
    moved = step(x, Prediction(x0), before, noise, torch.tensor([[numbers[name] for name in COLUMNS]]))[0]
    assert moved.tolist() == [[2 + 30 + 5 + 7, -2 + 60 + 5]]


def test_rows_on_different_samplers_and_steps_are_what_they_are_alone():
    plans = [
        (make_plan(SCHEDULE, "ddpm", 1000), 7),
        (make_plan(SCHEDULE, "ddpm", 10, variance="learned"), 3),
        (make_plan(SCHEDULE, "ddpm", 10, variance="learned"), 9),
        (make_plan(SCHEDULE, "ddpm", 10, variance="fixed-large"), 9),
        (make_plan(SCHEDULE, "ddim", 50, eta=0.5), 20),
        (make_plan(SCHEDULE, "dpmpp-2m", 20), 5),
        (make_plan(SCHEDULE, "renoise", 4), 1),
    ]
    coefficients = torch.stack([at(plan, index) for plan, index in plans])
    x, x0, before, noise, v = torch.randn(5, len(plans), 3, 4)
    together = step(x, Prediction(x0, v), before, noise, coefficients)[0]
    for row in range(len(plans)):
        one = slice(row, row + 1)
        alone = step(x[one], Prediction(x0[one], v[one]), before[one], noise[one], coefficients[one])[0]
        assert torch.equal(alone, together[one])


@pytest.mark.parametrize("v", [0.3, 1e9, -1e9, float("nan")])
def test_where_no_variance_is_learned_a_prediction_of_it_changes_nothing(v):
    plan = make_plan(SCHEDULE, "ddpm", 10)
    x, x0, before, noise = torch.randn(4, 4, 2)
    coefficients = at(plan, 3).expand(4, -1)
    assert torch.equal(
        step(x, Prediction(x0, torch.full_like(x, v)), before, noise, coefficients)[0],
        step(x, Prediction(x0), before, noise, coefficients)[0],
    )


class OfAStandardNormal(torch.nn.Module):
    """The exact ε̂ where data are N(0, I), √(1−ᾱ)·x_t, and beside it this raw output for the variance."""

    def __init__(self, raw: float):
        super().__init__()
        self.raw = raw

    def forward(self, x, t, label):
        root = torch.from_numpy(1 - SCHEDULE.alpha_bar).sqrt().float()[t].unsqueeze(1)
        return torch.cat([root * x, torch.full_like(x, self.raw)], dim=1)


@pytest.mark.parametrize("steps", [2, 10, 1000])
@pytest.mark.parametrize(("raw", "v"), [(1.0, 1.0), (-1.0, 0.0), (-0.5, 0.25), (1.4, 1.2)])
def test_a_learned_variance_lies_on_the_logarithmic_line_through_beta_tilde_and_beta(steps, raw, v):
    """ND21 eq. 15, of this stride's β: from a network's raw output to the noise that is added."""
    plan = make_plan(SCHEDULE, "ddpm", steps, variance="learned")
    rows = steps - 1  # every step but the last, in one call
    coefficients = torch.tensor(plan.coefficients[:-1], dtype=torch.float32)
    denoise = Denoiser(OfAStandardNormal(raw), SCHEDULE, "epsilon", learned_variance=True)
    x, noise = torch.zeros(rows, 1), torch.ones(rows, 1)
    added = step(x, denoise(x, torch.tensor(plan.t[:-1]), Conditions.none(rows)), x, noise, coefficients)[0]

    signal, before = SCHEDULE.alpha_bar[plan.t[:-1]], SCHEDULE.alpha_bar[plan.s[:-1]]
    beta = 1 - signal / before
    beta_tilde = (1 - before) / (1 - signal) * beta
    # float32 logarithms as large as 11 are rounded by 5e-7, and as much relatively is their exponential.
    np.testing.assert_allclose(added[:, 0].double() ** 2, beta**v * beta_tilde ** (1 - v), rtol=3e-6)


def variance_before_the_last_step(steps: int, raw: float) -> float:
    """Of rows that began as N(0, 1): every step multiplies by a factor and adds noise."""
    plan = make_plan(SCHEDULE, "ddpm", steps, variance="learned")
    denoise = Denoiser(OfAStandardNormal(raw), SCHEDULE, "epsilon", learned_variance=True)
    variance = 1.0
    for index in range(steps - 1):
        x, noise = torch.tensor([[1.0], [0.0]]), torch.tensor([[0.0], [1.0]])  # one row shows the factor, one the noise
        prediction = denoise(x, torch.tensor(plan.t[[index, index]]), Conditions.none(2))
        moved, _ = step(x, prediction, torch.zeros(2, 1), noise, at(plan, index).expand(2, -1))
        factor, deviation = moved.flatten()
        variance = factor.item() ** 2 * variance + deviation.item() ** 2
    return variance


@pytest.mark.parametrize("steps", [2, 5, 50, 1000])
def test_for_a_standard_normal_v_1_is_the_optimum_and_keeps_its_variance_at_any_step_count(steps):
    """x_s = √α x_t + √β z is N(0, 1) again. A step rounds by 1e-7 in float32, 1000 steps by less than 1e-5."""
    assert variance_before_the_last_step(steps, raw=1.0) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("steps", [5, 50])
def test_for_a_standard_normal_v_0_makes_it_too_narrow(steps):
    assert variance_before_the_last_step(steps, raw=-1.0) < 0.95


def test_learned_and_fixed_rows_share_a_step():
    learned = make_plan(SCHEDULE, "ddpm", 10, variance="learned")
    fixed = {kind: make_plan(SCHEDULE, "ddpm", 10, variance=kind) for kind in ("fixed-small", "fixed-large")}
    rows = [learned, fixed["fixed-large"], learned, fixed["fixed-small"]]
    v = torch.tensor([[1.0], [0.5], [0.0], [0.5]])  # the fixed rows' v is nobody's
    x, x0, before, noise = torch.randn(4, 1, 1).expand(4, 4, 1)
    moved = step(x, Prediction(x0, v), before, noise, torch.stack([at(plan, 4) for plan in rows]))[0]
    # Nothing but D differs, and D by float32's rounding of a logarithm.
    torch.testing.assert_close(moved[0], moved[1], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(moved[2], moved[3], rtol=1e-5, atol=1e-6)
    assert (moved[1] - moved[3]).abs() > 1e-3
