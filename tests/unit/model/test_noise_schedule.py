"""How much of the data is left at each timestep."""

import numpy as np
import pytest

import model.noise_schedule
from model.noise_schedule import make_schedule


def test_cosine_is_the_papers_formula_where_beta_is_not_capped():
    """ND21 eq. 17."""
    T, s = 1000, 0.008
    schedule = make_schedule("cosine", T)
    t = np.arange(T)  # at T itself the cap of β holds
    expected = np.cos((t / T + s) / (1 + s) * np.pi / 2) ** 2 / np.cos(s / (1 + s) * np.pi / 2) ** 2
    np.testing.assert_allclose(schedule.alpha_bar[:T], expected, rtol=1e-9)
    assert schedule.beta[-1] == pytest.approx(0.999)


def test_linear_is_the_papers_range_at_a_thousand_timesteps():
    """HJA20 section 4."""
    np.testing.assert_allclose(make_schedule("linear", 1000).beta, np.linspace(1e-4, 0.02, 1000), rtol=1e-9)


@pytest.mark.parametrize("T", [50, 250, 4000])
def test_at_another_T_linear_is_another_resolution_of_the_same_process(T):
    """Fewer timesteps, each with as much more noise: ∑β stays."""
    np.testing.assert_allclose(make_schedule("linear", T).beta, np.linspace(1e-4, 0.02, T) * 1000 / T, rtol=1e-9)
    assert make_schedule("linear", T).beta.sum() == pytest.approx(make_schedule("linear", 1000).beta.sum())


@pytest.mark.parametrize("T", [2, 50, 1000])
def test_in_log_linear_equal_strides_are_equal_factors_of_the_noise_level(T):
    sigma = make_schedule("log-linear", T).noise_level
    assert sigma[1] == pytest.approx(0.01) and sigma[T] == pytest.approx(80)
    np.testing.assert_allclose(sigma[2:] / sigma[1:-1], 8000 ** (1 / (T - 1)), rtol=1e-9)


def test_one_step_of_log_linear_starts_at_the_most_noise():
    assert make_schedule("log-linear", 1).noise_level[1] == pytest.approx(80)


@pytest.mark.parametrize(
    ("name", "T"),
    [("cosine", 1), ("cosine", 2), ("cosine", 10), ("cosine", 1000), ("linear", 21), ("linear", 50), ("linear", 1000),
     ("log-linear", 1), ("log-linear", 2), ("log-linear", 1000)],
)  # fmt: skip
def test_alpha_bar_falls_from_the_data_to_noise(name, T):
    schedule = make_schedule(name, T)
    assert schedule.T == T and schedule.alpha_bar[0] == 1
    assert (np.diff(schedule.alpha_bar) < 0).all()
    assert 0 < np.sqrt(schedule.alpha_bar[-1]) < 0.1


def test_beta_is_that_of_alpha_bar():
    schedule = make_schedule("cosine", 1000)
    np.testing.assert_allclose(np.cumprod(1 - schedule.beta), schedule.alpha_bar[1:], rtol=1e-10)


@pytest.mark.parametrize(
    ("name", "T", "says"),
    [
        ("cosine", 0, "at least 1"),
        ("linear", -5, "at least 1"),
        ("linear", 20, "more than 20"),
        ("linear", 10, "more than 20"),
        ("linear", 1, "does not end in noise.*larger T"),
        ("sigmoid", 10, "cosine, linear or log-linear"),
    ],
)
def test_a_schedule_that_cannot_be_says_what_can(name, T, says):
    with pytest.raises(ValueError, match=says):
        make_schedule(name, T)


def test_a_schedule_whose_end_still_shows_the_data_is_refused(monkeypatch):
    monkeypatch.setattr(model.noise_schedule, "LINEAR_BETAS", (1e-4, 0.005))  # √ᾱ_T ≈ e^{−½·1000·0.00255} = 0.28
    with pytest.raises(ValueError, match="does not end in noise"):
        make_schedule("linear", 1000)


def test_the_noise_level_is_that_of_the_variance_exploding_form():
    """x_t/√ᾱ_t = x_0 + σ_t ε, whose variances add up to ᾱ + (1 − ᾱ) = 1 when they are scaled back."""
    schedule = make_schedule("cosine", 1000)
    sigma = schedule.noise_level
    assert sigma[0] == 0 and (np.diff(sigma) > 0).all()
    np.testing.assert_allclose(1 / (1 + sigma**2), schedule.alpha_bar, rtol=1e-12)
