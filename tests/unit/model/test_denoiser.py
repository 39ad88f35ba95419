"""Guidance and parameterisations, with networks that are known exactly."""

import pytest
import torch
from torch import nn

from model.conditions import NO_LABEL, Conditions
from model.denoiser import Denoiser
from model.guidance import classifier_free
from model.noise import normal
from model.noise_schedule import make_schedule
from model.plan import make_plan
from model.prediction import per_row, predicted_x0, regression_target
from model.samplers import SAMPLERS
from model.sampling_loop import sample
from tests.oracles import MixtureOracle
from tests.tiny import IMAGES, tiny_checkpoint

SCHEDULE = make_schedule("cosine", 1000)
ALPHA_BAR = torch.from_numpy(SCHEDULE.alpha_bar)
MEANS = [[1.0, 1.0], [-1.0, -1.0]]

every_target = pytest.mark.parametrize("target", ["epsilon", "v", "x0"])


def rows(n: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(n, 2), torch.randint(1, 1001, (n,))


def test_the_oracle_is_tweedies_formula():
    """E[x_0 | x_t] = (x_t + (1−ᾱ)·∇ log q(x_t))/√ᾱ, the gradient by autograd: what everything here is measured by."""
    oracle = MixtureOracle(SCHEDULE, MEANS, 0.25)
    x, t = rows(200)
    x, alpha_bar = x.double().requires_grad_(), ALPHA_BAR[t.clamp(max=900)]
    (score,) = torch.autograd.grad(oracle.log_density(x, alpha_bar).sum(), x)
    expected = (x + per_row(1 - alpha_bar, x) * score) / per_row(alpha_bar.sqrt(), x)
    torch.testing.assert_close(oracle.posterior_mean(x, alpha_bar, torch.full((200,), NO_LABEL)), expected)


@every_target
def test_what_is_trained_and_what_is_read_are_inverse(target):
    x0, noise = torch.randn(2, 50, 3, dtype=torch.float64)
    alpha_bar = torch.rand(50, dtype=torch.float64) * 0.98 + 0.01
    x_t = alpha_bar.sqrt()[:, None] * x0 + (1 - alpha_bar).sqrt()[:, None] * noise
    output = regression_target(target, x0, noise, alpha_bar)
    torch.testing.assert_close(predicted_x0(target, output, x_t, alpha_bar), x0)


@pytest.mark.parametrize("T", [10, 1000, 10_000])
@pytest.mark.parametrize(("target", "ends"), [("v", (0, 1)), ("x0", (0, 1)), ("epsilon", (0,))])
def test_float32_keeps_x0_at_both_ends_of_the_chain(T, target, ends):
    """At t = 1, 1−ᾱ is a difference of float32s with an error of 6e-8 that √(1−ᾱ) ≥ 0.002 passes on as 1.5e-5.
    At t = T, ε would lose √ᾱ_T and with it all digits: that is the parameterisation's own, and why v is the default."""
    schedule = make_schedule("cosine", T)
    x0, noise = torch.randn(2, 2, 3, dtype=torch.float64)
    t = torch.tensor([1, T])
    alpha_bar = torch.from_numpy(schedule.alpha_bar)[t]
    x_t = per_row(alpha_bar.sqrt(), x0) * x0 + per_row((1 - alpha_bar).sqrt(), x0) * noise
    output = regression_target(target, x0, noise, alpha_bar).float()
    read = Denoiser(lambda x, t, label: output, schedule, target)(x_t.float(), t, Conditions.none(2)).x0
    for end in ends:
        torch.testing.assert_close(read[end].double(), x0[end], rtol=0, atol=1e-4)


def test_a_guided_output_is_on_the_line_through_both():
    unconditional, conditional = torch.tensor([[1.0], [1.0], [1.0]]), torch.tensor([[3.0], [3.0], [3.0]])
    assert classifier_free(unconditional, conditional, torch.tensor([0.0, 1.0, 2.5])).tolist() == [[1], [3], [6]]


@every_target
def test_guidance_moves_epsilon_whatever_the_network_puts_out(target):
    """ε̂ = ε_u + s(ε_c − ε_u), in double precision from the oracle's own x̂0."""
    oracle = MixtureOracle(SCHEDULE, MEANS, 0.25, target)
    x, t = rows()
    t = t.clamp(min=100, max=900)  # where ᾱ and 1−ᾱ are more than 0.02, and float32 loses a factor of 100 at most
    label, scale = torch.arange(12) % 2, torch.linspace(0.5, 6, 12)
    x0 = oracle.denoiser()(x, t, Conditions(label, scale)).x0.double()

    conditional = oracle.posterior_mean(x.double(), ALPHA_BAR[t], label)
    unconditional = oracle.posterior_mean(x.double(), ALPHA_BAR[t], torch.full_like(label, NO_LABEL))
    root, spread = ALPHA_BAR[t].sqrt().unsqueeze(1), (1 - ALPHA_BAR[t]).sqrt().unsqueeze(1)

    def eps(x0):
        return (x.double() - root * x0) / spread

    guided = eps(unconditional) + scale.unsqueeze(1) * (eps(conditional) - eps(unconditional))
    torch.testing.assert_close(eps(x0), guided, rtol=1e-4, atol=1e-5)


@every_target
@pytest.mark.parametrize(("scale", "asks_for_the_label"), [(1.0, True), (0.0, False)])
def test_scale_1_is_bit_equal_to_conditional_and_scale_0_to_unconditional(target, scale, asks_for_the_label):
    oracle = MixtureOracle(SCHEDULE, MEANS, 0.25, target)
    x, t = rows()
    label = torch.arange(12) % 2
    asked = label if asks_for_the_label else torch.full_like(label, NO_LABEL)
    expected = predicted_x0(target, oracle(x, t, asked), x, ALPHA_BAR.float()[t])
    oracle.rows_seen.clear()
    assert torch.equal(oracle.denoiser()(x, t, Conditions(label, torch.full((12,), scale))).x0, expected)
    assert oracle.rows_seen == [12]  # one evaluation a row


def test_no_label_is_unconditional_whatever_the_scale():
    oracle = MixtureOracle(SCHEDULE, MEANS, 0.25)
    x, t = rows(4)
    plain = oracle.denoiser()(x, t, Conditions.none(4)).x0
    scales = Conditions(torch.full((4,), NO_LABEL), torch.tensor([0.0, 0.5, 1.0, 7.0]))
    assert torch.equal(oracle.denoiser()(x, t, scales).x0, plain)
    assert oracle.rows_seen == [4, 4]


@pytest.mark.parametrize(
    ("label", "scale", "count"), [(None, 1, 1), (None, 3, 1), (7, 0, 1), (7, 1, 1), (7, 0.5, 2), (7, 1.5, 2)]
)
def test_a_guided_row_costs_two_evaluations_and_any_other_one(label, scale, count):
    oracle = MixtureOracle(SCHEDULE, [[float(k), 0.0] for k in range(8)], 0.25)
    conditions = Conditions(torch.tensor([NO_LABEL if label is None else label]), torch.tensor([float(scale)]))
    oracle.denoiser()(*rows(1), conditions)
    assert conditions.network_evaluations.tolist() == oracle.rows_seen == [count]


MIXED_LABELS = torch.tensor([0, 1, NO_LABEL] * 4)
MIXED_SCALES = torch.tensor([0.0, 1.0, 1.0, 1.0, 2.0, 2.0, 7.5, 0.0, 0.0, 1.5, 1.0, 5.0])


def test_rows_of_every_kind_share_one_call_and_are_what_they_are_alone():
    oracle = MixtureOracle(SCHEDULE, MEANS, 0.25, "epsilon")
    denoise = oracle.denoiser()
    x, t = rows()
    conditions = Conditions(MIXED_LABELS, MIXED_SCALES)
    mixed = denoise(x, t, conditions).x0
    assert oracle.rows_seen == [12 + 3]  # rows 4, 6 and 9 are guided
    for index in range(12):
        one = slice(index, index + 1)
        assert torch.equal(denoise(x[one], t[one], conditions[one]).x0, mixed[one])


def test_a_small_unet_gives_mixed_rows_what_it_gives_them_alone():
    """To float32's rounding only: convolutions sum in another order at another batch size."""
    denoise = tiny_checkpoint(IMAGES).denoiser()
    x, t = torch.randn(12, 1, 8, 8), torch.randint(1, 51, (12,))
    conditions = Conditions(MIXED_LABELS, MIXED_SCALES)
    with torch.inference_mode():
        mixed = denoise(x, t, conditions).x0
        for index in range(12):
            one = slice(index, index + 1)
            torch.testing.assert_close(denoise(x[one], t[one], conditions[one]).x0, mixed[one], rtol=1e-4, atol=1e-5)


class TellsTheLabelAsVariance(nn.Module):
    """ε is 0; the raw variance is the label: 1, 0, or −1 for none."""

    def forward(self, x, t, label):
        return torch.cat([torch.zeros_like(x), per_row(label.float(), x).expand_as(x)], dim=1)


@pytest.mark.parametrize("shape", [(2,), (3, 4, 4)])
def test_a_learned_variance_is_the_conditional_halfs(shape):
    denoise = Denoiser(TellsTheLabelAsVariance(), SCHEDULE, "epsilon", learned_variance=True)
    conditions = Conditions(torch.tensor([1, 1, 0, NO_LABEL]), torch.tensor([4.0, 1.0, 2.0, 0.0]))
    prediction = denoise(torch.randn(4, *shape), torch.tensor([1, 500, 900, 1000]), conditions)
    expected = torch.tensor([1, 1, 0.5, 0])  # v = (raw + 1)/2
    assert torch.equal(prediction.variance_fraction, per_row(expected, prediction.variance_fraction).expand(4, *shape))


def test_without_a_learned_variance_there_is_none():
    assert MixtureOracle(SCHEDULE, MEANS, 0.25).denoiser()(*rows(3), Conditions.none(3)).variance_fraction is None


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_epsilon_under_a_cosine_may_be_a_little_wrong_where_all_is_noise(sampler):
    """At T √ᾱ is 5e-5: what ε is wrong by, x̂0 is by 20,000 times as much. Clipped, it is an image, and forgotten."""
    oracle = MixtureOracle(SCHEDULE, [[0.5, -0.5]], 0.01, "epsilon")

    def nearly_epsilon(x, t, label):
        return oracle(x, t, label) + 0.003

    seeds = torch.arange(8)
    x_T = normal(seeds, torch.zeros_like(seeds), (2,))
    wrong = Denoiser(nearly_epsilon, SCHEDULE, "epsilon")(x_T, torch.full((8,), 1000), Conditions.none(8)).x0
    assert wrong.abs().min() > 20
    denoiser = Denoiser(nearly_epsilon, SCHEDULE, "epsilon", clip=1.0)
    assert denoiser(x_T, torch.full((8,), 1000), Conditions.none(8)).x0.abs().max() == 1
    end = sample(denoiser, make_plan(SCHEDULE, sampler, 20), Conditions.none(8), seeds, (2,))
    torch.testing.assert_close(end, torch.tensor([[0.5, -0.5]]).expand(8, 2), rtol=0, atol=0.05)


def test_images_are_clipped_and_points_are_not():
    oracle = MixtureOracle(SCHEDULE, [[5.0, -5.0]], 0.1)
    x, t = rows()
    clipped = Denoiser(oracle, SCHEDULE, "x0", clip=1.0)(x, t, Conditions.none(12)).x0
    assert torch.equal(clipped, torch.tensor([[1.0, -1.0]]).expand(12, 2))
    assert oracle.denoiser()(x, t, Conditions.none(12)).x0.abs().min() > 1
