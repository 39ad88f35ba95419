"""Plans against closed forms.

For Gaussian data the exact x̂0 is linear in x_t, and so is every sampler: mean and variance of what comes out follow by
recursion, without a random number. Here each is also derived a second time, from its paper's own formula.
"""

from itertools import pairwise

import numpy as np
import pytest

from model.noise_schedule import NoiseSchedule, make_schedule
from model.plan import Plan, cached_plan, make_plan
from model.sampler_spec import COLUMNS
from model.samplers import SAMPLERS
from model.timestep_spacing import trailing_timesteps

SCHEDULE = make_schedule("cosine", 1000)
SCHEDULES = [SCHEDULE, make_schedule("linear", 1000)]
MEAN, VARIANCE = 0.7, 0.25**2
STEPS = [1, 2, 3, 5, 7, 50, 999, 1000]

both_schedules = pytest.mark.parametrize("schedule", SCHEDULES, ids=["cosine", "linear"])


def posterior(alpha_bar: float) -> tuple[float, float]:
    """x̂0 = gain·x_t + offset for data N(MEAN, VARIANCE)."""
    gain = np.sqrt(alpha_bar) * VARIANCE / (alpha_bar * VARIANCE + 1 - alpha_bar)
    return gain, MEAN * (1 - gain * np.sqrt(alpha_bar))


def moments_of(plan: Plan, schedule: NoiseSchedule) -> tuple[float, float]:
    """Mean and variance of x_0 by the plan's own columns; (x_t, x̂0 before) as a joint Gaussian."""
    mean, cov = np.zeros(2), np.diag([1.0, 0.0])  # of (x, x̂0_before); x_T ~ N(0, 1)
    for t, row in zip(plan.t, plan.coefficients, strict=True):
        a, b, c, d = row[:4]
        gain, offset = posterior(schedule.alpha_bar[t])
        step = np.array([[a + b * gain, c], [gain, 0.0]])
        mean = step @ mean + np.array([b * offset, offset])
        cov = step @ cov @ step.T + np.diag([d**2, 0.0])
    return mean[0], cov[0, 0]


def textbook_moments(update, schedule: NoiseSchedule, steps: int) -> tuple[float, float]:
    """The same by an update from its paper: (ᾱ_t, ᾱ_s, gain, offset) → (factor of x_t, constant, noise²)."""
    mean, variance = 0.0, 1.0
    for t, s in pairwise(trailing_timesteps(1000, steps)):
        alpha_bar_t, alpha_bar_s = schedule.alpha_bar[t], schedule.alpha_bar[s]
        factor, constant, noise2 = update(alpha_bar_t, alpha_bar_s, *posterior(alpha_bar_t))
        mean, variance = factor * mean + constant, factor**2 * variance + (noise2 if s else 0.0)
    return mean, variance


def ddpm(kind: str):
    """HJA20 eq. 7, of the respaced chain."""

    def update(alpha_bar_t, alpha_bar_s, gain, offset):
        alpha = alpha_bar_t / alpha_bar_s
        beta = 1 - alpha
        of_x0 = np.sqrt(alpha_bar_s) * beta / (1 - alpha_bar_t)
        of_x = np.sqrt(alpha) * (1 - alpha_bar_s) / (1 - alpha_bar_t)
        beta_tilde = (1 - alpha_bar_s) / (1 - alpha_bar_t) * beta
        return of_x + of_x0 * gain, of_x0 * offset, {"fixed-small": beta_tilde, "fixed-large": beta}[kind]

    return update


def ddim(eta: float):
    """SME20 eq. 12 and 16."""

    def update(alpha_bar_t, alpha_bar_s, gain, offset):
        sigma2 = eta**2 * (1 - alpha_bar_s) / (1 - alpha_bar_t) * (1 - alpha_bar_t / alpha_bar_s)
        direction = np.sqrt(1 - alpha_bar_s - sigma2)
        eps_of_x = (1 - np.sqrt(alpha_bar_t) * gain) / np.sqrt(1 - alpha_bar_t)
        eps_constant = -np.sqrt(alpha_bar_t) * offset / np.sqrt(1 - alpha_bar_t)
        root = np.sqrt(alpha_bar_s)
        return root * gain + direction * eps_of_x, root * offset + direction * eps_constant, sigma2

    return update


def renoise(alpha_bar_t, alpha_bar_s, gain, offset):
    """Predict x̂0, noise it again: q(x_s | x̂0)."""
    return np.sqrt(alpha_bar_s) * gain, np.sqrt(alpha_bar_s) * offset, 1 - alpha_bar_s


@both_schedules
@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize(
    ("options", "update"),
    [
        (dict(sampler="ddpm", variance="fixed-small"), ddpm("fixed-small")),
        (dict(sampler="ddpm", variance="fixed-large"), ddpm("fixed-large")),
        (dict(sampler="ddim"), ddim(0)),
        (dict(sampler="ddim", eta=0.5), ddim(0.5)),
        (dict(sampler="ddim", eta=1.0), ddpm("fixed-small")),  # the same chain
        (dict(sampler="renoise"), renoise),
    ],
    ids=["ddpm-small", "ddpm-large", "ddim", "ddim-0.5", "ddim-1", "renoise"],
)
def test_moments_of_a_gaussian_are_the_textbooks(schedule, options, update, steps):
    plan = make_plan(schedule, steps=steps, **options)
    np.testing.assert_allclose(moments_of(plan, schedule), textbook_moments(update, schedule, steps), rtol=1e-10)


@both_schedules
@pytest.mark.parametrize("steps", STEPS)
def test_moments_of_dpmpp_2m_are_the_textbooks(schedule, steps):
    """Lu22 algorithm 2 in λ and r, of first order on the first step and on the last."""
    state = np.array([1.0, 0.0])  # (coefficient of x_T, constant)
    before = h_before = None
    for t, s in pairwise(trailing_timesteps(1000, steps)):
        alpha_t, alpha_s = np.sqrt(schedule.alpha_bar[[t, s]])
        sigma_t, sigma_s = np.sqrt(1 - schedule.alpha_bar[[t, s]])
        gain, offset = posterior(schedule.alpha_bar[t])
        x0 = gain * state + np.array([0.0, offset])
        if s == 0:
            state = x0
            break
        h = np.log(alpha_s / sigma_s) - np.log(alpha_t / sigma_t)
        if before is None:
            extrapolated = x0
        else:
            r = h_before / h
            extrapolated = (1 + 1 / (2 * r)) * x0 - 1 / (2 * r) * before
        state = sigma_s / sigma_t * state - alpha_s * (np.exp(-h) - 1) * extrapolated
        before, h_before = x0, h
    factor, constant = state
    moments = moments_of(make_plan(schedule, "dpmpp-2m", steps), schedule)
    np.testing.assert_allclose(moments, [constant, factor**2], rtol=1e-10)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpmpp-2m"])
def test_many_steps_give_the_data_back(sampler):
    mean, variance = moments_of(make_plan(SCHEDULE, sampler, 1000), SCHEDULE)
    assert mean == pytest.approx(MEAN, rel=2e-2) and variance == pytest.approx(VARIANCE, rel=2e-2)


@pytest.mark.parametrize("steps", [100, 1000])
def test_renoising_loses_spread_however_many_the_steps(steps):
    """Noising x̂0 again forgets what of the data was not in x̂0; about 1/√2 of the deviation is left."""
    _, variance = moments_of(make_plan(SCHEDULE, "renoise", steps), SCHEDULE)
    assert np.sqrt(variance / VARIANCE) == pytest.approx(1 / np.sqrt(2), rel=0.05)


def test_a_step_for_every_timestep_is_the_plain_chain():
    """HJA20 eq. 7 and section 3.2, by the full chain's own β."""
    plan = make_plan(SCHEDULE, "ddpm", 1000)
    beta, alpha_bar = SCHEDULE.beta[::-1], SCHEDULE.alpha_bar[1:][::-1]
    before = SCHEDULE.alpha_bar[:-1][::-1]
    np.testing.assert_array_equal(plan.t, np.arange(1000, 0, -1))
    np.testing.assert_array_equal(plan.s, np.arange(999, -1, -1))
    np.testing.assert_allclose(plan.column("x0"), np.sqrt(before) * beta / (1 - alpha_bar), rtol=1e-10)
    of_x = np.sqrt(1 - beta) * (1 - before) / (1 - alpha_bar)
    np.testing.assert_allclose(plan.column("x"), of_x, rtol=1e-10)
    np.testing.assert_allclose(plan.column("noise") ** 2, (1 - before) / (1 - alpha_bar) * beta, rtol=1e-10)


@pytest.mark.parametrize("T", [1, 2, 50, 1000])
def test_timesteps_start_at_T_fall_and_end_at_zero_for_any_count(T):
    for steps in range(1, T + 1):
        timesteps = trailing_timesteps(T, steps)
        assert timesteps[0] == T and timesteps[-1] == 0 and len(timesteps) == steps + 1
        assert (np.diff(timesteps) < 0).all()
        assert np.ptp(np.diff(timesteps)) <= 1  # as even as whole numbers can be


@pytest.mark.parametrize("variance", ["fixed-small", "fixed-large", "learned"])
@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("steps", [1, 2, 50, 1000])
def test_the_last_step_arrives_at_x0_without_noise_and_every_number_is_finite(sampler, variance, steps):
    plan = make_plan(SCHEDULE, sampler, steps, variance=variance, eta=1.0)
    assert np.isfinite(plan.coefficients).all()
    assert not plan.stochastic[-1]
    a, b, c, d = plan.coefficients[-1][:4]
    np.testing.assert_allclose([a, b, c, d], [0, 1, 0, 0], atol=1e-12)


@pytest.mark.parametrize(
    ("options", "draws"),
    [
        (dict(sampler="ddpm"), True),
        (dict(sampler="ddpm", variance="fixed-large"), True),
        (dict(sampler="ddpm", variance="learned"), True),
        (dict(sampler="renoise"), True),
        (dict(sampler="ddim", eta=0.1), True),
        (dict(sampler="ddim"), False),
        (dict(sampler="dpmpp-2m", eta=1.0), False),
    ],
)
def test_a_plan_knows_which_steps_draw_noise(options, draws):
    assert make_plan(SCHEDULE, steps=20, **options).stochastic.tolist() == [draws] * 19 + [False]


@pytest.mark.parametrize("steps", [1, 7, 50, 1000])
def test_the_strides_betas_make_up_the_whole_chain(steps):
    """∏(1−β_ts) = ᾱ_T, which strides of the full chain's β would miss by far."""
    plan = make_plan(SCHEDULE, "ddpm", steps, variance="learned")
    # 1 − β is as small as 1e-9 for one step of T: β's own rounding, 1e-16, is 1e-7 of that.
    assert np.prod(-np.expm1(plan.column("log_beta"))) == pytest.approx(SCHEDULE.alpha_bar[-1], rel=1e-6)


@pytest.mark.parametrize("steps", [2, 10, 1000])
def test_a_learned_variance_lies_between_the_strides_own_bounds(steps):
    plan = make_plan(SCHEDULE, "ddpm", steps, variance="learned")
    signal, before = SCHEDULE.alpha_bar[plan.t], SCHEDULE.alpha_bar[plan.s]
    beta = 1 - signal / before
    np.testing.assert_allclose(np.exp(plan.column("log_beta")), beta, rtol=1e-10)
    beta_tilde = (1 - before) / (1 - signal) * beta
    np.testing.assert_allclose(np.exp(plan.column("log_beta_tilde"))[:-1], beta_tilde[:-1], rtol=1e-10)


def test_the_last_steps_beta_tilde_is_zero_and_the_step_befores_stands_in():
    plan = make_plan(SCHEDULE, "ddpm", 10, variance="learned")
    assert plan.column("log_beta_tilde")[-1] == plan.column("log_beta_tilde")[-2]
    alone = make_plan(SCHEDULE, "ddpm", 1, variance="learned")
    assert alone.column("log_beta_tilde")[0] == alone.column("log_beta")[0]  # there is no step before


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (dict(sampler="ddpm", steps=0), "1 … 1000, got 0"),
        (dict(sampler="ddpm", steps=1001), "1 … 1000, got 1001"),
        (dict(sampler="ddim", steps=10, eta=1.1), "eta must be 0 … 1"),
        (dict(sampler="ddim", steps=10, eta=-0.1), "eta must be 0 … 1"),
        (dict(sampler="ddim", steps=10, eta=float("nan")), "eta must be 0 … 1"),
        (dict(sampler="euler", steps=10), "use one of " + ", ".join(SAMPLERS)),
        (dict(sampler="ddpm", steps=10, variance="medium"), "fixed-small"),
        (dict(sampler="ddim", steps=10, variance="medium"), "fixed-small"),
    ],
)
def test_a_plan_that_cannot_be_says_what_can(options, says):
    with pytest.raises(ValueError, match=says):
        make_plan(SCHEDULE, **options)


def test_a_plan_is_shared_and_cannot_be_changed_by_who_shares_it():
    plan = cached_plan(SCHEDULE, "ddim", 10)
    assert cached_plan(SCHEDULE, "ddim", 10) is plan
    for array in (plan.t, plan.s, plan.coefficients):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_a_plan_has_the_noise_level_at_which_each_step_evaluates_the_network():
    plan = make_plan(SCHEDULE, "ddim", 7)
    assert plan.noise_level.tolist() == SCHEDULE.noise_level[plan.t].tolist()


@pytest.mark.parametrize("sampler", ["ddim", "ddpm", "renoise"])
@pytest.mark.parametrize("start", [20, 500, 980, 1000])
def test_a_plan_that_starts_below_T_is_the_end_of_a_full_one(sampler, start):
    """Every 20th timestep, by samplers that remember nothing of the step before."""
    full, late = make_plan(SCHEDULE, sampler, 50), make_plan(SCHEDULE, sampler, start // 20, start=start)
    for array in ("t", "s", "coefficients"):
        np.testing.assert_array_equal(getattr(late, array), getattr(full, array)[-len(late) :])


def test_the_first_step_of_a_late_plan_is_of_first_order():
    late, first_order = (make_plan(SCHEDULE, name, 10, start=400) for name in ("dpmpp-2m", "ddim"))
    np.testing.assert_array_equal(late.t, trailing_timesteps(400, 10)[:-1])
    for column in set(COLUMNS) - {"clipped_off"}:  # ddim alone may take the network's own ε̂
        np.testing.assert_allclose(late.column(column)[0], first_order.column(column)[0], rtol=1e-12)


@pytest.mark.parametrize(
    ("start", "steps", "says"),
    [(0, 1, "start must be 1 … 1000, got 0"), (1001, 1, "got 1001"), (10, 11, "steps must be 1 … 10, got 11")],
)
def test_a_plan_cannot_start_outside_the_schedule_nor_take_more_steps_than_timesteps(start, steps, says):
    with pytest.raises(ValueError, match=says):
        make_plan(SCHEDULE, "ddim", steps, start=start)


@pytest.mark.parametrize("sampler", ["ddim", "ddpm", "dpmpp-2m", "heun", "renoise"])
@both_schedules
def test_each_step_but_the_last_is_taken_again_and_noising_back_costs_no_evaluation(schedule, sampler):
    """Against the same steps one after the other, with q(x_t|x_s) between them."""
    steps, times = 4, 3
    plan, single = make_plan(schedule, sampler, steps, resample=times), SAMPLERS[sampler].evaluations_per_step
    assert len(plan) == times * single * (steps - 1) + 1
    ts = trailing_timesteps(1000, steps)
    mean, cov, row = np.zeros(2), np.diag([1.0, 0.0]), 0
    for index, (t, s) in enumerate(pairwise(ts)):
        repeats = times if s else 1
        for time in range(repeats):
            # A run's first step knows no x̂0 before: it is what a plan of these steps begins with.
            whole = make_plan(schedule, sampler, 1 if not s else steps - index, start=int(t))
            alone = whole.coefficients[: single if s else 1, :4]
            for t_row, (a, b, c, d) in zip(whole.t, alone, strict=False):
                gain, offset = posterior(schedule.alpha_bar[t_row])
                move = np.array([[a + b * gain, c], [gain, 0.0]])
                mean = move @ mean + np.array([b * offset, offset])
                cov = move @ cov @ move.T + np.diag([d**2, 0.0])
                row += 1
            if time + 1 < repeats:
                alpha = schedule.alpha_bar[t] / schedule.alpha_bar[s]
                back = np.diag([np.sqrt(alpha), 1.0])
                mean, cov = back @ mean, back @ cov @ back.T + np.diag([1 - alpha, 0.0])
            assert plan.s[row - 1] == (t if time + 1 < repeats else s), (index, time)
    assert row == len(plan)
    np.testing.assert_allclose(moments_of(plan, schedule), (mean[0], cov[0, 0]), rtol=1e-9)


@pytest.mark.parametrize("sampler", ["ddim", "dpmpp-2m", "heun"])
def test_a_sample_is_inverted_to_its_noise_and_back(sampler):
    """For Gaussian data the exact flow scales x − √ᾱ·mean by the deviations' ratio. The way up meets it, at
    the sampler's order, and so the way up and down meets the sample."""
    errors = []
    for steps in (50, 200):
        plan = make_plan(SCHEDULE, sampler, steps, inverted=True)
        up = int(plan.inverts.sum())
        assert plan.inverts[:up].all() and (np.diff(plan.t[:up]) >= 0).all() and plan.s[up - 1] == 1000
        x, x0_before = 0.9, 0.0
        for index, (t, row) in enumerate(zip(plan.t, plan.coefficients, strict=True)):
            gain, offset = posterior(SCHEDULE.alpha_bar[t])
            x0 = gain * x + offset
            x, x0_before = row[0] * x + row[1] * x0 + row[2] * x0_before, x0
            if index == up - 1:
                exact = (0.9 - MEAN) / np.sqrt(VARIANCE)
                errors.append(abs(x - exact))
        errors.append(abs(x - 0.9))
    assert max(errors[2:]) < 0.02
    assert errors[2] < errors[0] / 3 and errors[3] < errors[1] / 3


def test_what_cannot_be_planned_is_refused():
    for options, says in (
        ({"resample": 0}, "at least 1"),
        ({"sampler": "ddpm", "variance": "learned", "resample": 2}, "learned variance"),
        ({"sampler": "ddpm", "inverted": True}, "draws noise"),
        ({"sampler": "ddim", "eta": 0.1, "inverted": True}, "draws noise"),
    ):
        with pytest.raises(ValueError, match=says):
            make_plan(SCHEDULE, **{"sampler": "ddim", "steps": 5} | options)


def test_a_sample_is_not_inverted_to_where_nothing_of_it_is_left():
    schedule = NoiseSchedule(np.append(SCHEDULE.alpha_bar[:-1], 0.0))
    with pytest.raises(ValueError, match="nothing of the data is left at T, so a sample cannot be inverted to there"):
        make_plan(schedule, "ddim", 5, inverted=True)
    assert make_plan(schedule, "ddim", 5, start=999, inverted=True).inverts.any()
