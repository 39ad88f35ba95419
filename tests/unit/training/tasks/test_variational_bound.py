"""The variational bound against distributions that PyTorch knows, numerical integrals and closed forms."""

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from model.data import DataConfig
from model.noise_schedule import make_schedule
from model.prediction import per_row
from training.tasks.variational_bound import VariationalBound

POINTS = DataConfig(dataset="test", kind="points", shape=(3,))
IMAGES = DataConfig(dataset="test", kind="images", shape=(1, 4, 4), mean=(127.5,), std=(127.5,), clip=1.0)
CHAINS = [("cosine", 1000, 1000), ("cosine", 1000, 50), ("linear", 1000, 1000), ("linear", 100, 10)]


def stride(schedule, bound: VariationalBound, index: int) -> tuple[float, float, float]:
    """ᾱ_t, ᾱ_s and β of that step, β of the stride."""
    t, s = bound.plan.t[index], bound.plan.s[index]
    return schedule.alpha_bar[t], schedule.alpha_bar[s], 1 - schedule.alpha_bar[t] / schedule.alpha_bar[s]


@pytest.mark.parametrize("v", [-0.2, 0.0, 0.3, 1.0, 1.1])
@pytest.mark.parametrize(("name", "T", "steps"), CHAINS)
def test_a_term_is_the_divergence_of_posterior_and_model(name, T, steps, v):
    """HJA20 eq. 6 and 7 for q, ND21 eq. 15 for p's variance; both as distributions."""
    schedule = make_schedule(name, T)
    bound = VariationalBound(schedule, steps, POINTS)
    x0, x0_hat, x_t = (torch.randn(1, 3, dtype=torch.float64) for _ in range(3))
    for index in (0, steps // 2, steps - 2):
        alpha_bar_t, alpha_bar_s, beta = stride(schedule, bound, index)
        beta_tilde = (1 - alpha_bar_s) / (1 - alpha_bar_t) * beta

        def mean(x, alpha_bar_t=alpha_bar_t, alpha_bar_s=alpha_bar_s, beta=beta):
            of_x0 = math.sqrt(alpha_bar_s) * beta / (1 - alpha_bar_t)
            return of_x0 * x + math.sqrt(1 - beta) * (1 - alpha_bar_s) / (1 - alpha_bar_t) * x_t

        sigma = math.exp((v * math.log(beta) + (1 - v) * math.log(beta_tilde)) / 2)
        q, p = Normal(mean(x0), math.sqrt(beta_tilde)), Normal(mean(x0_hat), sigma)
        expected = kl_divergence(q, p).mean() / math.log(2)
        term = bound.term(x0, torch.tensor([index]), x0_hat, torch.full((1, 3), v, dtype=torch.float64))
        assert term.item() == pytest.approx(expected.item(), rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("steps", [1, 10, 1000])
def test_the_prior_term_is_the_divergence_from_pure_noise(steps):
    schedule = make_schedule("cosine", 1000)
    x0 = torch.randn(4, 3, dtype=torch.float64)
    a = schedule.alpha_bar[-1]
    expected = kl_divergence(Normal(math.sqrt(a) * x0, math.sqrt(1 - a)), Normal(torch.zeros_like(x0), 1.0))
    prior = VariationalBound(schedule, steps, POINTS).prior(x0)
    torch.testing.assert_close(prior, expected.mean(1) / math.log(2), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("v", [0.0, 0.5, 1.0])
def test_the_decoder_of_images_gives_the_mass_of_each_pixels_bin(v):
    """HJA20 eq. 13, each bin's mass from the normal's own distribution function in float64; all 256 sum to 1."""
    bound = VariationalBound(make_schedule("linear", 1000), 1000, IMAGES)
    last = torch.tensor([999])
    log_beta, log_beta_tilde = bound.plan.column("log_beta")[-1], bound.plan.column("log_beta_tilde")[-1]
    decoder = Normal(0.1, math.exp((v * log_beta + (1 - v) * log_beta_tilde) / 2))
    one_pixel = torch.full((1, 1, 1, 1), 0.1, dtype=torch.float64)
    total = 0.0
    for value in range(256):
        left = torch.tensor(-math.inf if value == 0 else (value - 0.5) / 127.5 - 1, dtype=torch.float64)
        right = torch.tensor(math.inf if value == 255 else (value + 0.5) / 127.5 - 1, dtype=torch.float64)
        mass = decoder.cdf(right) - decoder.cdf(left)
        x0 = IMAGES.standardise(torch.full_like(one_pixel, value))
        bits = bound.term(x0, last, one_pixel, torch.full_like(one_pixel, v)).item()
        total += 2**-bits
        if mass > 1e-12:  # the difference of two numbers close to 1 is not exact beyond
            assert bits == pytest.approx(-math.log2(mass.item()), rel=1e-4)
    assert total == pytest.approx(1, abs=1e-6)


def test_the_decoder_stays_finite_and_steep_where_a_pixel_was_never_expected():
    bound = VariationalBound(make_schedule("cosine", 1000), 1000, IMAGES)
    x0 = torch.tensor([-1.0, 1.0, 0.0039, -1.0]).view(4, 1, 1, 1)
    x0_hat = torch.tensor([1.0, -1.0, 1.0, 30.0]).view(4, 1, 1, 1).requires_grad_()
    v = torch.full((4, 1, 1, 1), 0.5, requires_grad=True)
    bits = bound.term(x0, torch.full((4,), 999), x0_hat, v)
    bits.sum().backward()
    assert bits.isfinite().all()
    assert (bits > 100).all()
    for gradient in (x0_hat.grad, v.grad):
        assert gradient.isfinite().all()
        assert (gradient != 0).all()


def test_a_batch_in_which_no_row_arrives_and_one_in_which_some_do_have_finite_gradients():
    """What a masked likelihood would spoil: 0·∞ in the rows that are not at the end."""
    bound = VariationalBound(make_schedule("cosine", 1000), 1000, IMAGES)
    x0 = torch.full((3, 1, 4, 4), -1.0)
    for index in (torch.tensor([0, 5, 998]), torch.tensor([0, 999, 998])):
        v = torch.zeros(3, 1, 4, 4, requires_grad=True)
        bound.term(x0, index, torch.full_like(x0, 50.0), v).sum().backward()
        assert v.grad.isfinite().all()


def test_the_decoder_of_points_is_a_density_in_the_datas_own_units():
    data = DataConfig(dataset="test", kind="points", shape=(2,), mean=(3.0, -1.0), std=(2.0, 0.5))
    bound = VariationalBound(make_schedule("cosine", 100), 100, data)
    x0, x0_hat = torch.randn(2, 5, 2, dtype=torch.float64)
    sigma = math.exp(bound.plan.column("log_beta_tilde")[-1] / 2)
    std, mean = torch.tensor([2.0, 0.5]), torch.tensor([3.0, -1.0])
    likelihood = Normal(x0_hat * std + mean, sigma * std).log_prob(x0 * std + mean)
    bits = bound.term(x0, torch.full((5,), 99), x0_hat, torch.zeros_like(x0))
    torch.testing.assert_close(bits, -likelihood.mean(1) / math.log(2), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 10, 1000])
def test_the_exact_model_of_a_gaussian_pays_its_entropy_over_any_number_of_steps(steps):
    """Data N(0, 1): E[x_0|x_t] = √ᾱ x_t and Var[x_s|x_t] = β exactly, so with v = 1 the bound is the entropy itself."""
    schedule = make_schedule("cosine", 1000)
    bound = VariationalBound(schedule, steps, DataConfig(dataset="test", kind="points", shape=(1,)))
    generator = torch.Generator().manual_seed(1)
    x0 = torch.randn(20_000, 1, generator=generator, dtype=torch.float64)
    total = bound.prior(x0)
    for index in range(steps):
        alpha_bar_t, _, _ = stride(schedule, bound, index)
        x_t = math.sqrt(alpha_bar_t) * x0 + math.sqrt(1 - alpha_bar_t) * torch.randn(
            x0.shape, generator=generator, dtype=torch.float64
        )
        x0_hat = math.sqrt(alpha_bar_t) * x_t
        total += bound.term(x0, torch.full((len(x0),), index), x0_hat, torch.ones_like(x0))
    entropy = math.log2(2 * math.pi * math.e) / 2
    assert total.mean().item() == pytest.approx(entropy, abs=0.02)


def test_fixed_variances_are_the_ends_of_the_learned_one():
    bound = VariationalBound(make_schedule("cosine", 1000), 4, IMAGES)
    index = torch.arange(4)
    assert bound.fixed_variance_fraction("fixed-small", index).tolist() == [0, 0, 0, 0]
    assert bound.fixed_variance_fraction("fixed-large", index).tolist() == [1, 1, 1, 0]
    x0, x0_hat = torch.rand(2, 4, 1, 4, 4) * 2 - 1
    per_pixel = bound.term(
        x0, index, x0_hat, per_row(bound.fixed_variance_fraction("fixed-large", index), x0).expand_as(x0)
    )
    torch.testing.assert_close(
        bound.term(x0, index, x0_hat, per_row(bound.fixed_variance_fraction("fixed-large", index), x0)), per_pixel
    )


def test_the_likelihood_of_points_far_from_zero_is_that_of_points_near_it():
    """Timestamps: in float32 their unit would be lost in their mean."""
    x0 = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
    found = []
    for mean in ((0.0, 0.0), (1_700_000_000.0, -5e12)):
        data = DataConfig(dataset="d", kind="points", shape=(2,), mean=mean, std=(100.0, 0.5))
        bound = VariationalBound(make_schedule("cosine", 100), 10, data)
        found.append(bound._log_likelihood(x0, torch.zeros_like(x0), torch.zeros_like(x0)))
    assert torch.equal(*found)
    normal = Normal(0, torch.tensor([100.0, 0.5]))
    torch.testing.assert_close(found[0], normal.log_prob(x0 * torch.tensor([100.0, 0.5])))
