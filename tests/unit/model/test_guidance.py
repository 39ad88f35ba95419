"""Guidance by a classifier's gradient: DN21's two algorithms, and what an exact classifier must come to."""

import gc
import math

import numpy as np
import pytest
import torch

from model.conditions import NO_LABEL, Conditions
from model.denoiser import Denoiser
from model.noise import sample_seeds
from model.noise_schedule import make_schedule
from model.plan import make_plan
from model.prediction import Prediction
from model.sampler_spec import COLUMNS
from model.samplers import SAMPLERS
from model.sampling_loop import sample
from model.step import step
from tests.oracles import MixtureOracle
from tests.tiny import IMAGES, POINTS, tiny_classifier

MOVES_X0 = [name for name, spec in SAMPLERS.items() if spec.gradient_moves == "x0"]
SCHEDULE = make_schedule("cosine", 1000)
MEANS, STD = [[1.0, 1.0], [-1.0, -1.0]], 0.25
ORACLE = MixtureOracle(SCHEDULE, MEANS, STD)
TIMESTEPS = [1, 30, 200, 500, 800, 999, 1000]


def coefficients(plan, index: int, rows: int) -> torch.Tensor:
    return torch.tensor(plan.coefficients[index], dtype=torch.float32).expand(rows, -1)


def guided(rows: int, label: int, scale: float) -> Conditions:
    return Conditions(torch.full((rows,), label), torch.ones(rows), torch.full((rows,), scale))


class Unconditional(MixtureOracle):
    """Knows no labels, whatever it is told: what classifier guidance is made for."""

    def __call__(self, x_t, t, label):
        return super().__call__(x_t, t, torch.full_like(label, NO_LABEL))


UNCONDITIONAL = Unconditional(SCHEDULE, MEANS, STD)


@pytest.mark.parametrize("t", TIMESTEPS)
def test_an_exact_classifier_makes_the_conditional_model_of_an_unconditional_one(t):
    """x̂0(x_t) + (1−ᾱ)/√ᾱ·∇log p(y|x_t) = x̂0(x_t, y), by Bayes' rule and Tweedie's formula."""
    rows = 50
    x_t = torch.randn(rows, 2, generator=torch.Generator().manual_seed(t)) * 1.2
    times = torch.full((rows,), t)
    prediction = UNCONDITIONAL.guided()(x_t, times, guided(rows, 0, 1.0))
    plan = make_plan(SCHEDULE, "ddim", 1000)
    _, x0 = step(x_t, prediction, x_t, x_t, coefficients(plan, 1000 - t, rows))
    exact = ORACLE(x_t, times, torch.zeros(rows, dtype=torch.int64))
    torch.testing.assert_close(x0, exact, rtol=1e-4, atol=1e-4)


def draw(sampler: str, steps: int, n: int, scale: float = 1.0, **options) -> torch.Tensor:
    plan = make_plan(SCHEDULE, sampler, steps, **options)
    seeds = torch.from_numpy(sample_seeds(0, n))
    return sample(UNCONDITIONAL.guided(), plan, guided(n, 0, scale), seeds, (2,))


@pytest.mark.parametrize(
    ("sampler", "steps", "n", "options"),
    [
        ("dpmpp-2m", 50, 10_000, {}),
        ("ddim", 400, 4_000, {}),
        ("ddpm", 1000, 2_000, {"variance": "fixed-small"}),
        ("ddpm", 1000, 2_000, {"variance": "fixed-large"}),
    ],
)
def test_at_scale_1_and_many_steps_an_exact_classifier_gives_the_posterior(sampler, steps, n, options):
    points = draw(sampler, steps, n, **options)
    away = points - torch.tensor(MEANS[0])
    assert (away.norm(dim=1) < (points - torch.tensor(MEANS[1])).norm(dim=1)).double().mean() >= 0.999
    # Four standard errors of a mean and of a deviation, and a little for the steps that are not infinitely many.
    assert away.mean(0).abs().max() < 4 * STD / math.sqrt(n) + 0.005
    assert away.std().item() == pytest.approx(STD, rel=4 / math.sqrt(4 * n) + 0.01)


def test_a_larger_scale_pushes_further():
    """s > 1 samples from p(x)·p(y|x)^s, roughly: away from the other component."""
    n = 4_000
    assert draw("dpmpp-2m", 20, n, 5.0).sum(1).mean() > draw("dpmpp-2m", 20, n, 1.0).sum(1).mean() + 0.01


def random_step(plan, index: int, *, gradient=True, v=None, clip=None, rows=6):
    generator = torch.Generator().manual_seed(index)
    x, x0, before, noise, g = torch.randn(5, rows, 3, generator=generator)
    prediction = Prediction(x0, v, g if gradient else None, clip)
    return step(x, prediction, before, noise, coefficients(plan, index, rows)), x, x0, g


@pytest.mark.parametrize("sampler", MOVES_X0)
def test_algorithm_2_in_x0_is_algorithm_2_in_epsilon(sampler):
    """ε̂ − √(1−ᾱ)·s·g (DN21) and x̂0 + (1−ᾱ)/√ᾱ·s·g are one."""
    plan = make_plan(SCHEDULE, sampler, 20)
    for index in range(1, 20):
        alpha_bar = SCHEDULE.alpha_bar[plan.t[index]]
        (_, moved), x, x0, g = random_step(plan, index)
        epsilon = (x - math.sqrt(alpha_bar) * x0) / math.sqrt(1 - alpha_bar) - math.sqrt(1 - alpha_bar) * g
        expected = (x - math.sqrt(1 - alpha_bar) * epsilon) / math.sqrt(alpha_bar)
        torch.testing.assert_close(moved, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("sampler", MOVES_X0)
def test_what_algorithm_2_moved_is_clipped_again(sampler):
    plan = make_plan(SCHEDULE, sampler, 20)
    (_, free), _, _, _ = random_step(plan, 5)
    (_, clipped), _, _, _ = random_step(plan, 5, clip=1.0)
    assert free.abs().max() > 1 and torch.equal(clipped, free.clamp(-1, 1))


@pytest.mark.parametrize("variance", ["fixed-small", "fixed-large"])
def test_algorithm_1_moves_the_mean_by_the_variance_times_the_gradient(variance):
    plan = make_plan(SCHEDULE, "ddpm", 10, variance=variance)
    for index in range(10):
        (with_it, x0), _, same_x0, g = random_step(plan, index)
        (without, _), _, _, _ = random_step(plan, index, gradient=False)
        torch.testing.assert_close(with_it - without, plan.column("noise")[index].item() ** 2 * g, rtol=1e-3, atol=1e-5)
        assert torch.equal(x0, same_x0)


def test_algorithm_1_with_a_learned_variance_takes_each_elements_own():
    plan = make_plan(SCHEDULE, "ddpm", 10, variance="learned")
    v = torch.rand(6, 3, generator=torch.Generator().manual_seed(7))
    for index in range(9):
        (with_it, _), _, _, g = random_step(plan, index, v=v)
        (without, _), _, _, _ = random_step(plan, index, v=v, gradient=False)
        log_beta, log_beta_tilde = plan.column("log_beta")[index], plan.column("log_beta_tilde")[index]
        sigma = torch.exp(v * log_beta + (1 - v) * log_beta_tilde)
        torch.testing.assert_close(with_it - without, sigma * g, rtol=1e-3, atol=1e-5)


def test_the_two_algorithms_agree_where_sigma_is_beta_over_root_alpha():
    """Folded into x̂0, an ancestral mean moves by s·β_ts/√α_ts·g: Algorithm 1 with that Σ in the place of β̃ or β."""
    plan = make_plan(SCHEDULE, "ddpm", 25)
    for index in range(25):
        alpha = SCHEDULE.alpha_bar[plan.t[index]] / SCHEDULE.alpha_bar[plan.s[index]]
        alpha_bar = SCHEDULE.alpha_bar[plan.t[index]]
        row = dict(zip(COLUMNS, plan.coefficients[index], strict=True))
        by_x0 = row["x0"] * (1 - alpha_bar) / math.sqrt(alpha_bar)
        assert by_x0 == pytest.approx((1 - alpha) / math.sqrt(alpha), rel=1e-9)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_rows_without_a_gradient_keep_every_bit(sampler):
    plan = make_plan(SCHEDULE, sampler, 10)
    x, x0, before, noise, gradient = torch.randn(5, 6, 3, generator=torch.Generator().manual_seed(0))
    x0[0, 0], x[0, 0] = -0.0, -0.0
    gradient[:4] = 0
    for index in range(10):
        at = coefficients(plan, index, 6)
        plain, plain_x0 = step(x, Prediction(x0, clip=1.0), before, noise, at)
        beside, beside_x0 = step(x, Prediction(x0, None, gradient, 1.0), before, noise, at)
        for one, other in ((plain, beside), (plain_x0, beside_x0)):
            assert one[:4].numpy().tobytes() == other[:4].numpy().tobytes()


def test_the_gradients_that_guide_one_row_add_up():
    """By its label, by its prompt, by both, by neither."""
    by_label, by_text = (lambda x, t, y: torch.full_like(x, 3.0)), (lambda x, t, c: torch.full_like(x, 0.5))
    denoise = Denoiser(UNCONDITIONAL, SCHEDULE, "x0", gradients={"label": by_label, "text": by_text})
    text = torch.tensor([[0.0, 0.0], [0.6, 0.8], [0.6, 0.8], [0.0, 0.0]])
    conditions = Conditions(torch.tensor([1, NO_LABEL, 1, NO_LABEL]), torch.ones(4), torch.full((4,), 2.0), text)
    gradient = denoise(torch.zeros(4, 2), torch.full((4,), 500), conditions).gradient
    assert gradient.tolist() == [[6.0, 6.0], [1.0, 1.0], [7.0, 7.0], [0.0, 0.0]]


def test_scale_0_and_no_label_never_ask_the_classifier():
    denoiser = ORACLE.denoiser()  # has none
    x, t = torch.randn(3, 2), torch.tensor([5, 500, 1000])
    conditions = Conditions(torch.tensor([0, 1, NO_LABEL]), torch.ones(3), torch.tensor([0.0, 0.0, 3.0]))
    assert denoiser(x, t, conditions).gradient is None


@pytest.mark.parametrize("data", [IMAGES, POINTS])
def test_gradients_are_those_of_the_rows_own_log_probability(data):
    classifier = tiny_classifier(data).classifier()
    classifier.network.double()
    classifier._root_alpha_bar = classifier._root_alpha_bar.double()
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, *data.shape, generator=generator, dtype=torch.float64)
    t, label = torch.tensor([1, 10, 30, 50]), torch.tensor([0, 1, 1, 0])
    with torch.inference_mode():
        gradient = classifier.gradient(x, t, label)
        alone = torch.cat([classifier.gradient(x[i : i + 1], t[i : i + 1], label[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(gradient, alone)
    direction = torch.randn(x.shape, generator=generator, dtype=torch.float64)
    h = 1e-2  # the norms and the softmax are in float32 all the same
    logits = [classifier.network(classifier._root_alpha_bar[t].view(-1, *[1] * (x.dim() - 1)) * at, t)
              for at in (x + h * direction, x - h * direction)]  # fmt: skip
    forward, backward = (each.log_softmax(1).gather(1, label[:, None])[:, 0] for each in logits)
    slope = (gradient * direction).flatten(1).sum(1)
    np.testing.assert_allclose(slope.numpy(), ((forward - backward) / (2 * h)).detach().numpy(), rtol=5e-3, atol=2e-5)
    assert all(parameter.grad is None for parameter in classifier.network.parameters())


def test_nothing_of_a_gradient_but_itself_is_kept():
    classifier = tiny_classifier(IMAGES).classifier()
    x, t, label = torch.randn(8, *IMAGES.shape), torch.full((8,), 20), torch.arange(8)

    def tensors() -> int:
        gc.collect()
        return sum(issubclass(type(each), torch.Tensor) for each in gc.get_objects())

    classifier.gradient(x, t, label)  # what the first call leaves behind is not its graph
    before = tensors()
    kept = [classifier.gradient(x, t, label) for _ in range(5)]
    assert tensors() - before == len(kept)
    assert not any(one.requires_grad for one in kept)
