"""What holds for every sampler in the folder, also for the next one."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

import model.samplers
from model.noise_schedule import make_schedule
from model.plan import Plan, make_plan
from model.sampler_spec import OptionValues
from model.samplers import SAMPLERS, Sampler, samplers_with

COSINE, LINEAR = make_schedule("cosine", 1000), make_schedule("linear", 1000)
VARIANCE = 0.25**2
every_sampler = pytest.mark.parametrize("sampler", SAMPLERS)


def test_every_module_of_the_folder_is_a_sampler():
    modules = {path.stem for path in Path(model.samplers.__file__).parent.glob("*.py")} - {"__init__"}
    assert {name.replace("-", "_") for name in SAMPLERS} == modules
    assert list(SAMPLERS) == sorted(SAMPLERS)


def test_one_more_module_is_one_more_sampler(tmp_path, monkeypatch):
    copied = "from model.samplers.ddim import SPEC as DDIM; SPEC = dataclasses.replace(DDIM, name='new')"
    (tmp_path / "new.py").write_text(f"import dataclasses; {copied}")
    monkeypatch.setattr(model.samplers, "__path__", [*model.samplers.__path__, str(tmp_path)])
    assert list(model.samplers._discovered()) == sorted([*SAMPLERS, "new"])


def test_a_field_for_a_sampler_is_an_enum_that_names_them_all():
    field = TypeAdapter(Sampler)
    assert field.json_schema() == {"type": "string", "enum": list(SAMPLERS)}
    assert [field.validate_python(name) for name in SAMPLERS] == list(SAMPLERS)
    with pytest.raises(ValidationError, match="use one of " + ", ".join(SAMPLERS)):
        field.validate_python("euler")


def test_samplers_are_found_by_their_options():
    assert samplers_with("eta") == ("ddim",) and samplers_with("variance") == ("ddpm",)


@every_sampler
def test_the_defaults_of_the_options_are_what_a_plan_assumes(sampler):
    for option in SAMPLERS[sampler].options:
        assert option.default == getattr(OptionValues(), option.name)
        assert option.default in option.choices if option.bounds is None else option.bounds[0] <= option.default


@every_sampler
@pytest.mark.parametrize("steps", [1, 2, 3, 20, 1000])
def test_a_plan_has_the_evaluations_and_the_noise_that_the_spec_promises(sampler, steps):
    spec, plan = SAMPLERS[sampler], make_plan(COSINE, sampler, steps)
    assert len(plan) == spec.evaluations(steps)
    assert plan.stochastic[:-1].tolist() == [spec.stochastic] * (len(plan) - 1)
    moves_x0 = spec.gradient_moves == "x0"
    assert (plan.column("x0_gradient") > 0).tolist() == [moves_x0] * len(plan)


@every_sampler
@pytest.mark.parametrize("schedule", [COSINE, LINEAR], ids=["cosine", "linear"])
@pytest.mark.parametrize("steps", [1, 2, 7, 50, 1000])
def test_with_the_true_x0_every_row_keeps_signal_and_variance(schedule, sampler, steps):
    """From q(x_t|x_0) = N(√ᾱ_t x_0, 1−ᾱ_t) a row arrives at q(x_s|x_0)."""
    plan = make_plan(schedule, sampler, steps)
    a, b, c, d = plan.coefficients.T[:4]
    alpha_bar_t, alpha_bar_s = schedule.alpha_bar[plan.t], schedule.alpha_bar[plan.s]
    np.testing.assert_allclose(a * np.sqrt(alpha_bar_t) + b + c, np.sqrt(alpha_bar_s), rtol=1e-12)
    np.testing.assert_allclose(a**2 * (1 - alpha_bar_t) + d**2, 1 - alpha_bar_s, rtol=1e-12, atol=1e-15)


def variance_at(plan: Plan, timestep: int) -> float:
    """Of x, for Gaussian data, after the rows that arrive at this timestep."""
    cov = np.diag([1.0, 0.0])  # of (x, x̂0 before)
    for t, s, (a, b, c, d, *_) in zip(plan.t, plan.s, plan.coefficients, strict=True):
        if s < timestep:
            break
        alpha_bar = COSINE.alpha_bar[t]
        gain = np.sqrt(alpha_bar) * VARIANCE / (alpha_bar * VARIANCE + 1 - alpha_bar)  # x̂0 = gain·x_t + …
        row = np.array([[a + b * gain, c], [gain, 0.0]])
        cov = row @ cov @ row.T + np.diag([d**2, 0.0])
    return cov[0, 0]


@every_sampler
def test_the_variance_of_gaussian_data_converges_at_the_order_of_the_spec(sampler):
    """On the way, at T/5, without a random number."""
    steps, alpha_bar = [25, 50, 100, 200], COSINE.alpha_bar[200]
    exact = alpha_bar * VARIANCE + 1 - alpha_bar
    errors = [abs(variance_at(make_plan(COSINE, sampler, n), 200) - exact) for n in steps]
    measured = -np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert measured == pytest.approx(SAMPLERS[sampler].order, abs=0.1)
