"""Guidance and parameterisations, with a network that is known exactly."""

import pytest
import torch
from torch import nn

from model.denoiser import NO_LABEL, Conditions, Denoiser, evaluations
from model.prediction import predicted_x0, regression_target
from model.schedule import make_schedule
from tests.oracles import MixtureOracle
from tests.tiny import IMAGES, tiny_checkpoint

SCHEDULE = make_schedule("cosine", 1000)
MEANS = [[1.0, 1.0], [-1.0, -1.0]]


def rows(n: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, 2, generator=generator), torch.randint(1, 1001, (n,), generator=generator)


@pytest.mark.parametrize("target", ["epsilon", "v", "x0"])
def test_what_is_trained_and_what_is_read_are_inverse(target):
    x0, noise = torch.randn(2, 50, 3, dtype=torch.float64)
    alpha_bar = torch.rand(50, dtype=torch.float64) * 0.98 + 0.01
    x_t = alpha_bar.sqrt()[:, None] * x0 + (1 - alpha_bar).sqrt()[:, None] * noise
    output = regression_target(target, x0, noise, alpha_bar)
    torch.testing.assert_close(predicted_x0(target, output, x_t, alpha_bar), x0)


@pytest.mark.parametrize("target", ["epsilon", "v", "x0"])
def test_guidance_moves_epsilon_whatever_the_network_puts_out(target):
    """ε̂ = ε_u + s(ε_c − ε_u), in double precision from the oracle's own x̂0."""
    oracle = MixtureOracle(SCHEDULE, MEANS, 0.25, target)
    x, t = rows()
    t = t.clamp(min=100, max=900)  # where no division by √ᾱ or √(1−ᾱ) is lost in float32
    label, scale = torch.arange(12) % 2, torch.linspace(0.5, 6, 12)
    x0 = oracle.denoiser()(x, t, Conditions(label, scale)).x0.double()

    alpha_bar = torch.from_numpy(SCHEDULE.alpha_bar)[t]
    conditional = oracle.posterior_mean(x.double(), alpha_bar, label)
    unconditional = oracle.posterior_mean(x.double(), alpha_bar, torch.full_like(label, NO_LABEL))
    root, spread = alpha_bar.sqrt().unsqueeze(1), (1 - alpha_bar).sqrt().unsqueeze(1)

    def eps(x0):
        return (x.double() - root * x0) / spread

    guided = eps(unconditional) + scale.unsqueeze(1) * (eps(conditional) - eps(unconditional))
    torch.testing.assert_close(eps(x0), guided, rtol=1e-3, atol=1e-4)


def test_scale_one_is_bit_equal_to_conditional_and_scale_zero_to_unconditional():
    oracle = MixtureOracle(SCHEDULE, MEANS, 0.25, "v")
    denoise = oracle.denoiser()
    x, t = rows()
    label = torch.arange(12) % 2
    none = torch.full_like(label, NO_LABEL)
    conditional = predicted_x0("v", oracle(x, t, label), x, torch.from_numpy(SCHEDULE.alpha_bar).float()[t])
    unconditional = predicted_x0("v", oracle(x, t, none), x, torch.from_numpy(SCHEDULE.alpha_bar).float()[t])
    assert torch.equal(denoise(x, t, Conditions(label, torch.ones(12))).x0, conditional)
    assert torch.equal(denoise(x, t, Conditions(label, torch.zeros(12))).x0, unconditional)
    assert torch.equal(denoise(x, t, Conditions.none(12)).x0, unconditional)


def test_rows_of_every_kind_share_one_call_and_are_what_they_are_alone():
    oracle = MixtureOracle(SCHEDULE, MEANS, 0.25, "epsilon")
    denoise = oracle.denoiser()
    x, t = rows()
    label = torch.tensor([0, 1, NO_LABEL] * 4)
    scale = torch.tensor([0.0, 1.0, 1.0, 1.0, 2.0, 2.0, 7.5, 0.0, 0.0, 1.5, 1.0, 5.0])
    conditions = Conditions(label, scale)
    mixed = denoise(x, t, conditions).x0
    (evaluated,) = oracle.rows_seen
    assert evaluated == sum(
        evaluations(None if one == NO_LABEL else one, s) for one, s in zip(label.tolist(), scale.tolist(), strict=True)
    )
    for index in range(12):
        one = slice(index, index + 1)
        assert torch.equal(denoise(x[one], t[one], conditions[one]).x0, mixed[one])


def test_a_small_unet_gives_mixed_rows_what_it_gives_them_alone():
    denoise = tiny_checkpoint(IMAGES).denoiser()
    x, t = torch.randn(8, 1, 8, 8), torch.randint(1, 51, (8,))
    conditions = Conditions(torch.tensor([0, 1, 2, NO_LABEL] * 2), torch.tensor([1.0, 2, 0, 1, 3, 1, 0, 1]))
    with torch.inference_mode():
        mixed = denoise(x, t, conditions).x0
        for index in range(8):
            one = slice(index, index + 1)
            torch.testing.assert_close(denoise(x[one], t[one], conditions[one]).x0, mixed[one], rtol=1e-4, atol=1e-5)


class _WithVariance(nn.Module):
    """ε is 0; v's raw output tells the label: conditional rows 1, unconditional −1."""

    def forward(self, x, t, label):
        raw = torch.where(label == NO_LABEL, -1.0, 1.0).unsqueeze(1).expand(-1, 2)
        return torch.cat([torch.zeros_like(x), raw], dim=1)


def test_a_learned_variance_is_the_conditional_halfs():
    denoise = Denoiser(_WithVariance(), SCHEDULE, "epsilon", learned_variance=True)
    x, t = rows(3)
    prediction = denoise(x, t, Conditions(torch.tensor([1, 1, NO_LABEL]), torch.tensor([4.0, 1.0, 0.0])))
    assert prediction.variance.tolist() == [[1, 1], [1, 1], [0, 0]]  # v = (output + 1)/2


def test_images_are_clipped_and_points_are_not():
    oracle = MixtureOracle(SCHEDULE, [[5.0, -5.0]], 0.1)
    x, t = rows()
    clipped = Denoiser(oracle, SCHEDULE, "x0", clip=1.0)(x, t, Conditions.none(12)).x0
    assert clipped.abs().max() == 1
    assert oracle.denoiser()(x, t, Conditions.none(12)).x0.abs().max() > 4
