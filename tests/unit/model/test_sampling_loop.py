"""The samplers at work on an exactly known denoiser: two Gaussians at ±(1, 1), deviation 0.25."""

import math

import numpy as np
import pytest
import torch
from scipy.special import ndtr

from model.conditions import NO_LABEL, Conditions
from model.denoiser import Denoiser
from model.noise import normal, sample_seeds
from model.noise_schedule import make_schedule
from model.plan import Plan, make_plan
from model.samplers import SAMPLERS
from model.sampling_loop import sample, sampling_states
from model.step import step
from tests.jobs import rest_of
from tests.oracles import MixtureOracle
from tests.tiny import IMAGES, tiny_checkpoint

SCHEDULE = make_schedule("cosine", 1000)
MEANS, STD = [[1.0, 1.0], [-1.0, -1.0]], 0.25
ORACLE = MixtureOracle(SCHEDULE, MEANS, STD)


def seeds(n: int, first: int = 0) -> torch.Tensor:
    return torch.from_numpy(sample_seeds(first, n))


def draw(plan: Plan, n: int, label: int = NO_LABEL, scale: float = 1.0, seed: int = 0) -> torch.Tensor:
    conditions = Conditions(torch.full((n,), label), torch.full((n,), scale))
    return sample(ORACLE.denoiser(), plan, conditions, seeds(n, seed), (2,))


ANGLES = (np.arange(100) + 0.5) * np.pi / 100
DIRECTIONS = np.stack([np.cos(ANGLES), np.sin(ANGLES)])  # [2, 100]
LEVELS = (np.arange(400) + 0.5) / 400


def exact_quantiles() -> np.ndarray:
    """[400, 100]: of the mixture in each direction, where it is two normals at ±c; by bisection."""
    c = DIRECTIONS.sum(0)
    low, high = np.full((400, 100), -4.0), np.full((400, 100), 4.0)
    for _ in range(40):
        middle = (low + high) / 2
        below = (ndtr((middle - c) / STD) + ndtr((middle + c) / STD)) / 2 < LEVELS[:, None]
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return low


EXACT = exact_quantiles()


def distance(points: torch.Tensor) -> float:
    """Mean distance of 400 quantiles over 100 directions, to the exact ones.

    Of the points together with their mirror image. Mixture, noise and samplers know no left and right, so this changes
    nothing but the chance in how many land on either side, which would move the quantiles between the two for no
    fault of the sampler (that share has a test of its own).
    """
    points = torch.cat([points, -points]).double().numpy()
    return np.abs(np.quantile(points @ DIRECTIONS, LEVELS, axis=0) - EXACT).mean()


WAYS_TO_SAMPLE = {
    **{name: dict(sampler=name) for name in SAMPLERS},
    "ddpm-large": dict(sampler="ddpm", variance="fixed-large"),
}


# Expected: 40,000 random points of the same samplers against 40,000 real ones, of which two sets are 0.0045 apart,
# rounded to 0.001. The 10,000 here add 0.001, so both together stay within 0.006.
@pytest.mark.parametrize(
    ("sampler", "steps", "expected"),
    [
        ("ddpm", 5, 0.085),
        ("ddpm", 20, 0.036),
        ("ddpm", 50, 0.024),
        ("ddpm-large", 5, 0.048),
        ("ddpm-large", 20, 0.017),
        ("ddpm-large", 50, 0.007),
        ("renoise", 5, 0.090),
        ("renoise", 20, 0.075),
        ("renoise", 50, 0.066),
        ("ddim", 5, 0.082),
        ("ddim", 20, 0.024),
        ("ddim", 50, 0.013),
        ("dpmpp-2m", 5, 0.073),
        ("dpmpp-2m", 20, 0.015),
        ("dpmpp-2m", 50, 0.004),
        ("dpmpp-2m-sde", 5, 0.069),
        ("dpmpp-2m-sde", 20, 0.006),
        ("dpmpp-2m-sde", 50, 0.005),
        ("heun", 5, 0.071),
        ("heun", 20, 0.009),
        ("heun", 50, 0.002),
    ],
)
def test_every_sampler_is_as_far_off_as_it_should_be(sampler, steps, expected):
    points = draw(make_plan(SCHEDULE, steps=steps, **WAYS_TO_SAMPLE[sampler]), 10_000)
    assert distance(points) == pytest.approx(expected, abs=0.006)


# 2,000 points and their images: the median of a component is 0.25·1.25/√2000 = 0.007 off, as are other quantiles.
@pytest.mark.parametrize(
    ("sampler", "expected"),
    [("ddpm", 0.004), ("ddpm-large", 0.004), ("renoise", 0.057), ("ddim", 0.003), ("dpmpp-2m", 0.004)],
)
def test_at_a_thousand_steps_all_but_renoising_have_converged(sampler, expected):
    points = draw(make_plan(SCHEDULE, steps=1000, **WAYS_TO_SAMPLE[sampler]), 2_000)
    assert distance(points) == pytest.approx(expected, abs=0.007)


def test_renoising_leaves_a_component_about_1_over_root_2_of_its_spread():
    points = draw(make_plan(SCHEDULE, "renoise", 1000), 2_000)
    spread = (points - torch.sign(points)).std().item()
    # A deviation of 4,000 numbers is known to 1/√8000 = 1.1 %, and 1/√2 is the limit of ever more steps.
    assert spread == pytest.approx(STD / math.sqrt(2), rel=0.05)


@pytest.mark.parametrize("sampler", WAYS_TO_SAMPLE)
def test_either_side_gets_half_the_points(sampler):
    n = 10_000
    points = draw(make_plan(SCHEDULE, steps=20, **WAYS_TO_SAMPLE[sampler]), n, seed=1_000_000)
    share = (points.sum(1) > 0).double().mean().item()
    assert abs(share - 0.5) < 4 * 0.5 / math.sqrt(n)


def arrived(sampler: str, steps: int, at: int, n: int) -> torch.Tensor:
    """x [n, 2] after the last row of the plan that arrives at this timestep."""
    plan = make_plan(SCHEDULE, sampler, steps)
    states = sampling_states(ORACLE.denoiser(), plan, Conditions.none(n), seeds(n), (2,))
    return [state.x for state, s in zip(states, plan.s, strict=True) if s == at][-1]


def order(steps: list[int], errors: list[float]) -> float:
    """Of convergence: the slope of −log error over log steps."""
    return -np.polyfit(np.log(steps), np.log(errors), 1)[0]


N = 200
X_T = normal(seeds(N), torch.zeros(N, dtype=torch.int64), (2,))


def test_the_ode_that_endpoints_are_measured_by_is_fine_enough():
    """Halving its steps moves it by less than a tenth of the smallest error below."""
    assert (ORACLE.flow(X_T, 1000, 0) - ORACLE.flow(X_T, 1000, 0, steps=200)).norm(dim=1).mean() < 3e-5


# Bounds of the measured order: on the way at T/5, and at the data.
ORDERS = {
    "ddim": ((0.95, 1.05), (0.9, 1.1)),
    # On the way 2M is short of 2: its first stride spans most of λ, which costs a logarithm. At the data its error is
    # 3e-4 in 100 steps and then falls more slowly: its last step is of first order, as its paper has it.
    "dpmpp-2m": ((1.65, 2.1), (1.9, 2.7)),
    # At the data the last step dominates, which is Euler's: see test_heun.py.
    "heun": ((1.9, 2.1), (1.3, 1.7)),
}
deterministic = pytest.mark.parametrize("sampler", [name for name, spec in SAMPLERS.items() if not spec.stochastic])


@deterministic
def test_deterministic_samplers_follow_the_ode_at_their_order(sampler):
    steps = [25, 50, 100, 200]
    exact = ORACLE.flow(X_T, 1000, 200)
    errors = [(arrived(sampler, n, 200, N) - exact).norm(dim=1).mean().item() for n in steps]
    (low, high), _ = ORDERS[sampler]
    assert low < order(steps, errors) < high


@deterministic
def test_endpoints_of_deterministic_samplers_converge_at_their_order(sampler):
    steps = [25, 50, 100]
    exact = ORACLE.flow(X_T, 1000, 0)
    errors = [(arrived(sampler, n, 0, N) - exact).norm(dim=1).mean().item() for n in steps]
    _, (low, high) = ORDERS[sampler]
    assert low < order(steps, errors) < high


@pytest.mark.parametrize("sampler", ["ddpm-large", "ddim", "dpmpp-2m"])
def test_a_label_draws_its_component(sampler):
    n = 4_000
    points = draw(make_plan(SCHEDULE, steps=100, **WAYS_TO_SAMPLE[sampler]), n, label=1)
    # A mean of n is known to 0.25/√n = 0.004, a deviation to 1/√(2n) = 1.1 %; 100 steps are 1 % off by themselves.
    np.testing.assert_allclose(points.mean(0), [-1, -1], atol=0.016)
    np.testing.assert_allclose(points.std(0), [STD, STD], rtol=0.045)


def test_a_label_at_scale_zero_draws_what_no_label_draws():
    plan = make_plan(SCHEDULE, "dpmpp-2m", 20)
    assert torch.equal(draw(plan, 200, label=1, scale=0.0), draw(plan, 200))


@pytest.mark.parametrize("sampler", WAYS_TO_SAMPLE)
def test_a_sample_is_its_seeds_whatever_it_is_drawn_with(sampler):
    plan = make_plan(SCHEDULE, steps=20, **WAYS_TO_SAMPLE[sampler])
    together = draw(plan, 9, seed=100)
    for index in (0, 4, 8):
        assert torch.equal(draw(plan, 1, seed=100 + index)[0], together[index])


# Rows that agree in nothing: (plan, label, scale, seed).
def mixed_rows(schedule) -> list[tuple[Plan, int, float, int]]:
    return [
        (make_plan(schedule, "ddpm", 10), 0, 1.0, 3),
        (make_plan(schedule, "dpmpp-2m", 7), 1, 2.0, 3),
        (make_plan(schedule, "ddim", 1), NO_LABEL, 1.0, 5),
        (make_plan(schedule, "ddim", 12, eta=0.5), 1, 0.0, 2**63 - 1),
        (make_plan(schedule, "renoise", 3), 0, 1.5, 0),
        (make_plan(schedule, "ddpm", 12, variance="fixed-large"), NO_LABEL, 0.0, 2**40),
        (make_plan(schedule, "dpmpp-2m", 2), 0, 0.5, 8),
        *((make_plan(schedule, name, 4), 1, 1.5, 11) for name in SAMPLERS),
    ]


def one_by_one(denoiser: Denoiser, rows, shape) -> torch.Tensor:
    return torch.cat(
        [
            sample(
                denoiser, plan, Conditions(torch.tensor([label]), torch.tensor([scale])), torch.tensor([seed]), shape
            )
            for plan, label, scale, seed in rows
        ]
    )


@torch.inference_mode()
def in_one_batch(denoiser: Denoiser, rows, shape) -> torch.Tensor:
    """Every unfinished row a step on, in one call of denoiser and `step`; a row enters two updates after the last."""
    key = torch.tensor([seed for *_, seed in rows])
    x = normal(key, torch.zeros_like(key), shape)
    x0 = torch.zeros_like(x)
    done = [-2 * entered for entered in range(len(rows))]
    while any(k < len(plan) for k, (plan, *_) in zip(done, rows, strict=True)):
        live = [i for i, (plan, *_) in enumerate(rows) if 0 <= done[i] < len(plan)]
        if live:
            at = torch.tensor([done[i] for i in live])
            t = torch.tensor([rows[i][0].t[done[i]] for i in live])
            coefficients = torch.tensor(np.stack([rows[i][0].coefficients[done[i]] for i in live])).float()
            conditions = Conditions(torch.tensor([rows[i][1] for i in live]), torch.tensor([rows[i][2] for i in live]))
            prediction = denoiser(x[live], t, conditions)
            x[live], _ = step(x[live], prediction, x0[live], normal(key[live], at + 1, shape), coefficients)
            x0[live] = prediction.x0
        done = [k + 1 for k in done]
    return x


def test_a_batch_of_rows_that_agree_in_nothing_is_bit_equal_to_single_runs():
    rows = mixed_rows(SCHEDULE)
    denoiser = MixtureOracle(SCHEDULE, MEANS, STD, "v").denoiser()
    assert torch.equal(in_one_batch(denoiser, rows, (2,)), one_by_one(denoiser, rows, (2,)))


def test_with_a_small_unet_such_a_batch_is_what_single_runs_are_but_for_rounding():
    """Convolutions sum in another order at another batch size: 1e-7, which guidance and the steps enlarge."""
    checkpoint = tiny_checkpoint(IMAGES)
    rows, denoiser = mixed_rows(checkpoint.schedule), checkpoint.denoiser()
    together, alone = (run(denoiser, rows, (1, 8, 8)) for run in (in_one_batch, one_by_one))
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-4)


def test_a_run_starts_from_its_seeds_noise_and_shows_every_step():
    plan = make_plan(SCHEDULE, "ddim", 4)
    run = list(sampling_states(ORACLE.denoiser(), plan, Conditions.none(3), seeds(3, 7), (2,)))
    assert [state.step for state in run] == [1, 2, 3, 4]
    x_T = normal(seeds(3, 7), torch.zeros(3, dtype=torch.int64), (2,))
    expected = ORACLE.denoiser()(x_T, torch.full((3,), 1000), Conditions.none(3)).x0
    assert torch.equal(run[0].x0, expected)
    assert torch.equal(run[-1].x, run[-1].x0)  # the last step arrives at x̂0


def test_a_run_that_is_cut_in_two_ends_where_the_whole_one_does():
    plan, denoiser, conditions = make_plan(SCHEDULE, "ddim", 6), ORACLE.denoiser(), Conditions.none(3)
    whole = list(sampling_states(denoiser, plan, conditions, seeds(3, 7), (2,)))
    for cut in range(1, 6):
        rest = sample(denoiser, rest_of(plan, cut), conditions, seeds(3), (2,), start=whole[cut - 1].x)
        assert torch.equal(rest, whole[-1].x)


def test_a_step_is_guided_within_its_interval_and_plain_conditional_outside_to_the_bit():
    """Each step from where the run stands: at that step the guided one, or the one at scale 1."""
    plan, oracle = make_plan(SCHEDULE, "ddim", 12), MixtureOracle(SCHEDULE, MEANS, STD, "v")
    low, high = plan.noise_level[8], plan.noise_level[3]  # both included
    run = Conditions.alike(3, label=0, guidance_scale=3.0, guidance_interval=(low, high))
    guided, plain = (Conditions.alike(3, label=0, guidance_scale=scale) for scale in (3.0, 1.0))
    x = normal(seeds(3), torch.zeros(3, dtype=torch.int64), (2,))
    denoiser = oracle.denoiser()
    run_states = list(sampling_states(denoiser, plan, run, seeds(3), (2,)))
    assert [rows // 3 for rows in oracle.rows_seen] == run.network_evaluations_by_step(
        torch.tensor(plan.noise_level)
    ).tolist()
    for index, state in enumerate(run_states):
        expected = guided if 3 <= index <= 8 else plain
        one = next(sampling_states(denoiser, rest_of(plan, index), expected, seeds(3), (2,), start=x))
        assert torch.equal(state.x, one.x)
        x = state.x


def test_rows_of_different_intervals_are_what_they_are_alone():
    plan, denoiser = make_plan(SCHEDULE, "ddpm", 9), MixtureOracle(SCHEDULE, MEANS, STD, "v").denoiser()
    intervals = [(0.0, 1e9), (0.3, 5.0), (7.0, 7.0), (1.0, 2.0), None]
    rows = [Conditions.alike(1, label=1, guidance_scale=2.5, guidance_interval=it) for it in intervals]
    together = sample(denoiser, plan, Conditions.cat(rows), seeds(5), (2,))
    alone = [sample(denoiser, plan, row, seeds(1, index), (2,)) for index, row in enumerate(rows)]
    assert torch.equal(together, torch.cat(alone))
    everywhere = sample(denoiser, plan, rows[4], seeds(1, 0), (2,))
    assert torch.equal(together[:1], everywhere) and not torch.equal(together[1:2], everywhere)


def test_a_variance_that_was_not_learned_is_refused():
    plan = make_plan(SCHEDULE, "ddpm", 3, variance="learned")
    with pytest.raises(ValueError, match="has learned no variance: make a plan with fixed-small"):
        sample(ORACLE.denoiser(), plan, Conditions.none(2), seeds(2), (2,))


def test_update_k_draws_the_noise_of_step_k():
    plan = make_plan(SCHEDULE, "ddpm", 3)
    run = list(sampling_states(ORACLE.denoiser(), plan, Conditions.none(2), seeds(2), (2,)))
    row = plan.coefficients[1]
    drift = row[0] * run[0].x + row[1] * run[1].x0
    z = (run[1].x - drift) / plan.column("noise")[1]
    torch.testing.assert_close(z, normal(seeds(2), torch.full((2,), 2), (2,)), rtol=1e-4, atol=1e-5)
