import numpy as np
import pytest

from model.schedule import make_schedule


def test_cosine_is_the_papers_formula_where_beta_is_not_capped():
    T, s = 1000, 0.008
    schedule = make_schedule("cosine", T)
    t = np.arange(T)  # at T itself the cap of β holds
    expected = np.cos((t / T + s) / (1 + s) * np.pi / 2) ** 2 / np.cos(s / (1 + s) * np.pi / 2) ** 2
    np.testing.assert_allclose(schedule.alpha_bar[:T], expected, rtol=1e-9)
    assert schedule.beta[-1] == pytest.approx(0.999)


def test_linear_is_the_papers_range_at_a_thousand_steps_and_scaled_at_others():
    beta = make_schedule("linear", 1000).beta
    np.testing.assert_allclose([beta[0], beta[-1]], [1e-4, 0.02], rtol=1e-9)
    np.testing.assert_allclose(np.diff(beta), (0.02 - 1e-4) / 999, rtol=1e-6)
    # Another T is another resolution of the same process.
    fine, coarse = make_schedule("linear", 1000), make_schedule("linear", 250)
    np.testing.assert_allclose(np.log(coarse.alpha_bar[50::50]), np.log(fine.alpha_bar[200::200]), rtol=0.05)


@pytest.mark.parametrize(("name", "T"), [("cosine", 10), ("cosine", 1000), ("linear", 50), ("linear", 1000)])
def test_alpha_bar_falls_from_the_data_to_noise(name, T):
    schedule = make_schedule(name, T)
    assert schedule.T == T and schedule.alpha_bar[0] == 1
    assert (np.diff(schedule.alpha_bar) < 0).all()
    assert np.sqrt(schedule.alpha_bar[-1]) < 0.1
    np.testing.assert_allclose(np.cumprod(1 - schedule.beta), schedule.alpha_bar[1:], rtol=1e-12)
    np.testing.assert_allclose(np.exp(schedule.log_snr[1:]) * (1 - schedule.alpha_bar[1:]), schedule.alpha_bar[1:])


@pytest.mark.parametrize(
    ("name", "T", "says"),
    [
        ("cosine", 0, "at least 1"),
        ("linear", 20, "more than 20"),
        ("linear", 10, "more than 20"),
        ("sigmoid", 10, "cosine"),
    ],
)
def test_a_schedule_that_cannot_be_says_what_can(name, T, says):
    with pytest.raises(ValueError, match=says):
        make_schedule(name, T)
