"""One update of many rows at once."""

import numpy as np
import pytest
import torch

from model.plan import make_plan
from model.prediction import Prediction
from model.schedule import make_schedule
from model.step import step

SCHEDULE = make_schedule("cosine", 1000)


def at(plan, index: int) -> torch.Tensor:
    return torch.tensor(plan.coefficients[index], dtype=torch.float32)


def test_rows_on_different_samplers_and_steps_are_what_they_are_alone():
    plans = [
        (make_plan(SCHEDULE, "ddpm", 1000), 7),
        (make_plan(SCHEDULE, "ddpm", 10, variance="learned"), 3),
        (make_plan(SCHEDULE, "ddpm", 10, variance="fixed-large"), 9),
        (make_plan(SCHEDULE, "ddim", 50, eta=0.5), 20),
        (make_plan(SCHEDULE, "dpmpp-2m", 20), 5),
        (make_plan(SCHEDULE, "renoise", 4), 1),
    ]
    coefficients = torch.stack([at(plan, index) for plan, index in plans])
    x, x0, before, noise, v = torch.randn(5, len(plans), 3, 4)
    together = step(x, Prediction(x0, v), before, noise, coefficients)
    for row in range(len(plans)):
        one = slice(row, row + 1)
        alone = step(x[one], Prediction(x0[one], v[one]), before[one], noise[one], coefficients[one])
        assert torch.equal(alone, together[one])


def test_where_no_variance_is_learned_a_prediction_of_it_changes_nothing():
    plan = make_plan(SCHEDULE, "ddpm", 10)
    x, x0, before, noise, v = torch.randn(5, 4, 2)
    coefficients = at(plan, 3).expand(4, -1)
    assert torch.equal(
        step(x, Prediction(x0, v), before, noise, coefficients), step(x, Prediction(x0), before, noise, coefficients)
    )


@pytest.mark.parametrize(("v", "kind"), [(1.0, "fixed-large"), (0.0, "fixed-small")])
def test_the_ends_of_a_learned_variance_are_the_fixed_ones(v, kind):
    """For data from a standard normal v = 1 is the optimum: β is the variance of the reverse step."""
    x, x0, before, noise = torch.randn(4, 100, 2)
    learned, fixed = make_plan(SCHEDULE, "ddpm", 20, variance="learned"), make_plan(SCHEDULE, "ddpm", 20, variance=kind)
    for index in range(20):
        a = step(x, Prediction(x0, torch.full_like(x, v)), before, noise, at(learned, index).expand(100, -1))
        b = step(x, Prediction(x0), before, noise, at(fixed, index).expand(100, -1))
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_between_them_the_logarithm_is_interpolated():
    plan = make_plan(SCHEDULE, "ddpm", 20, variance="learned")
    zeros, ones = torch.zeros(1, 1), torch.ones(1, 1)
    deviation = step(zeros, Prediction(zeros, 0.25 * ones), zeros, ones, at(plan, 4).unsqueeze(0)).item()
    upper, lower = plan.column("log_beta")[4], plan.column("log_beta_tilde")[4]
    assert deviation == pytest.approx(np.exp((0.25 * upper + 0.75 * lower) / 2), rel=1e-5)
