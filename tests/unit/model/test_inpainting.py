"""Keeping a part of a sample, against the exact conditional distribution of a mixture of Gaussians."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from model.conditions import Conditions, Known
from model.denoiser import Denoiser
from model.noise import normal, sample_seeds
from model.noise_schedule import make_schedule
from model.plan import Plan, make_plan
from model.samplers import SAMPLERS
from model.sampling_loop import sample, sampling_states
from model.start import known_start
from tests.oracles import MixtureOracle

SCHEDULE = make_schedule("cosine", 1000)
MEANS, STD, GIVEN = [[0.8, 0.8], [-0.8, -0.8], [0.0, 0.0]], 0.5, 0.6  # the first dimension is given
ORACLE = MixtureOracle(SCHEDULE, MEANS, STD)
ROWS = 400
SEEDS = torch.from_numpy(sample_seeds(0, ROWS))
KNOWN = Known(torch.tensor([[GIVEN, 0.0]]).expand(ROWS, 2), torch.tensor([[1.0, 0.0]]).expand(ROWS, 2))
CONDITIONS = replace(Conditions.none(ROWS), known=KNOWN)


def exact(seed: int) -> Tensor:
    """As many draws of y given x, with the components' weights by how likely each makes x."""
    generator = torch.Generator().manual_seed(seed)
    means = torch.tensor(MEANS)
    weights = (-(GIVEN - means[:, 0]).square() / (2 * STD**2)).softmax(0)
    component = torch.multinomial(weights, ROWS, True, generator=generator)
    return means[component, 1] + STD * torch.randn(ROWS, generator=generator)


def wasserstein(one: Tensor, other: Tensor) -> float:
    """Of two samples on a line. With x the same in all rows, this is what every slice sees, times its cosine."""
    return (one.sort().values - other.sort().values).abs().mean().item()


def ratio(resample: int) -> float:
    """The distance of inpainted y from exact ones, as a multiple of that between two exact draws."""
    plan = make_plan(SCHEDULE, "ddpm", 25, variance="fixed-large", resample=resample)
    noise = normal(SEEDS, torch.zeros_like(SEEDS), (2,))
    start = known_start(noise, KNOWN, noise, SCHEDULE, SCHEDULE.T)
    drawn = sample(ORACLE.denoiser(), plan, CONDITIONS, SEEDS, (2,), start)
    assert (drawn[:, 0] == GIVEN).all()
    draws = range(20)
    floor = sum(wasserstein(exact(2 * i), exact(2 * i + 1)) for i in draws)
    return sum(wasserstein(exact(100 + i), drawn[:, 1]) for i in draws) / floor


def test_inpainting_draws_from_the_exact_conditional_where_steps_are_resampled():
    assert ratio(10) <= 1.3


def test_without_resampling_it_is_biased():
    """What is drawn is settled at high noise, where the noised known part says little."""
    assert ratio(1) > 3


@pytest.mark.parametrize("resample", [1, 3])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_what_is_known_has_its_true_distribution_at_every_step(sampler, resample):
    """q(x_t|x_0), whatever the sampler: x̂0 is the true one there."""
    plan = make_plan(SCHEDULE, sampler, 6, resample=resample)
    for x, alpha_bar in known_part(ORACLE.denoiser(), plan):
        assert x.mean().item() == pytest.approx(GIVEN * alpha_bar**0.5, abs=4 * ((1 - alpha_bar) / ROWS) ** 0.5 + 1e-6)
        assert x.std().item() == pytest.approx((1 - alpha_bar) ** 0.5, rel=0.15, abs=1e-6)


def known_part(denoiser: Denoiser, plan: Plan) -> Iterator[tuple[Tensor, float]]:
    """After every step: the known dimension [ROWS], and ᾱ where the rows stand."""
    noise = normal(SEEDS, torch.zeros_like(SEEDS), (2,))
    start = known_start(noise, KNOWN, noise, SCHEDULE, SCHEDULE.T)
    for state in sampling_states(denoiser, plan, CONDITIONS, SEEDS, (2,), start):
        yield state.x[:, 0], float(SCHEDULE.alpha_bar[plan.s[state.step - 1]])


def with_variance(fraction: float) -> Denoiser:
    """The oracle, with a learned variance that lies there between β̃ (0) and β (1)."""

    def network(x: Tensor, t: Tensor, label: Tensor) -> Tensor:
        return torch.cat([ORACLE(x, t, label), torch.full_like(x, 2 * fraction - 1)], dim=1)

    return Denoiser(network, SCHEDULE, "x0", learned_variance=True)


@pytest.mark.parametrize(
    ("variance", "fraction", "widest"),
    [
        ("fixed-small", 0, 1.0),
        ("learned", 0, 1.0),
        ("learned", 0.5, 1.33),
        ("learned", 1, 1.78),
        ("fixed-large", 0, 1.78),
    ],
)
def test_a_variance_above_beta_tilde_leaves_more_noise_in_what_is_known_until_the_last_step(variance, fraction, widest):
    """As multiples of the true deviation √(1−ᾱ) at each of ten steps."""
    plan = make_plan(SCHEDULE, "ddpm", 10, variance=variance)
    *before, (last, _) = known_part(with_variance(fraction), plan)
    multiples = [x.std().item() / (1 - alpha_bar) ** 0.5 for x, alpha_bar in before]
    assert max(multiples) == pytest.approx(widest, rel=0.1)
    assert (last == GIVEN).all()
