"""Autoguidance: out = weak + s·(strong − weak), row by row, against networks whose posterior means are known."""

import copy
from dataclasses import replace

import pytest
import torch

from model.checkpoints.autoguidance import AutoguidanceConfig, load_autoguidance
from model.checkpoints.base import save_checkpoint
from model.checkpoints.config import SamplingOverrides
from model.checkpoints.denoiser import load_checkpoint
from model.conditions import NO_LABEL, Conditions
from model.denoiser import Denoiser
from model.networks import MLPConfig
from model.noise_schedule import make_schedule
from model.plan import make_plan
from model.samplers import SAMPLERS
from model.sampling_loop import sample
from tests.oracles import MixtureOracle
from tests.tiny import IMAGES, POINTS, save_tiny, tiny_autoguidance, tiny_checkpoint, tiny_student, tiny_text_checkpoint

SCHEDULE = make_schedule("cosine", 1000)
MEANS = [[1.0, 1.0], [-1.0, -1.0]]
N = 24
LABEL = torch.tensor([0, 1, NO_LABEL] * 8)
SCALE = torch.tensor([1.0, 0.0, 2.0, 3.5, 1.0, 0.5] * 4)
OFF = SCALE == 1
BASE = tiny_checkpoint(IMAGES, learned_variance=True)
WEAK = tiny_autoguidance(BASE)
DENOISE = BASE.denoiser(weak=WEAK.torch_network())


def rows(shape: tuple[int, ...] = IMAGES.shape, T: int = 50) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(N, *shape, generator=generator), torch.randint(1, T + 1, (N,), generator=generator)


def autoguided(scale: torch.Tensor = SCALE) -> Conditions:
    return Conditions(LABEL, torch.ones(N), autoguidance_scale=scale)


@pytest.mark.parametrize("target", ["x0", "v", "epsilon"])
def test_posterior_means_are_combined_by_the_formula(target):
    """A weak network that believes in wider components: x̂0 = x̂0_w + s·(x̂0_s − x̂0_w), for every target alike."""
    strong, weak = (MixtureOracle(SCHEDULE, MEANS, std, target) for std in (0.25, 0.6))
    x_t, t = rows((2,), 900)
    denoise = Denoiser(strong, SCHEDULE, target, weak=weak)
    alpha_bar = torch.from_numpy(SCHEDULE.alpha_bar)[t]
    own, wider = (oracle.posterior_mean(x_t.double(), alpha_bar, LABEL) for oracle in (strong, weak))
    expected = wider + SCALE.double().unsqueeze(1) * (own - wider)
    assert (own - wider).abs().max() > 0.1
    torch.testing.assert_close(denoise(x_t, t, autoguided()).x0.double(), expected, rtol=1e-3, atol=1e-3)
    assert (strong.rows_seen, weak.rows_seen) == ([N], [int((~OFF).sum())])


def test_a_self_conditioned_network_is_led_away_too():
    """The strong network reads the last x̂0, and the weak one does not."""
    x_t, t = rows((2,), 900)
    x0_before = torch.full_like(x_t, 0.25)
    denoise = Denoiser(
        lambda x, t, label, last: x + last, SCHEDULE, "x0", self_conditioned=True, weak=lambda x, t, label: 3 * x
    )
    scale = SCALE.unsqueeze(1)
    torch.testing.assert_close(
        denoise(x_t, t, autoguided(), x0_before=x0_before).x0, 3 * x_t + scale * (0.25 - 2 * x_t)
    )
    torch.testing.assert_close(denoise(x_t, t, autoguided()).x0, 3 * x_t - scale * 2 * x_t)


def test_at_scale_1_a_row_is_the_strong_network_s_to_the_bit_beside_rows_of_other_scales():
    x_t, t = rows()
    plain, together = BASE.denoiser()(x_t, t, Conditions(LABEL, torch.ones(N))), DENOISE(x_t, t, autoguided())
    assert torch.equal(together.x0[OFF], plain.x0[OFF])
    assert ((together.x0 - plain.x0).flatten(1).abs().amax(1)[~OFF] > 1e-3).all()
    assert torch.equal(together.variance_fraction, plain.variance_fraction)  # the strong network's, in every row


def test_a_row_alone_is_what_it_is_in_company():
    x_t, t = rows()
    together = DENOISE(x_t, t, autoguided()).x0
    for row in range(N):
        one = slice(row, row + 1)
        torch.testing.assert_close(together[one], DENOISE(x_t[one], t[one], autoguided()[one]).x0, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_is_guided(sampler):
    plan, seeds = make_plan(BASE.schedule, sampler, 5), torch.arange(N)
    guided = sample(DENOISE, plan, autoguided(), seeds, IMAGES.shape)
    plain = sample(DENOISE, plan, Conditions(LABEL, torch.ones(N)), seeds, IMAGES.shape)
    assert torch.equal(guided[OFF], plain[OFF])
    assert ((guided - plain).flatten(1).abs().amax(1)[~OFF] > 0).all()


def test_a_row_costs_one_evaluation_more_and_none_while_it_is_inverted():
    conditions = autoguided()
    assert torch.equal(conditions.network_evaluations, 2 - OFF.long())
    assert not conditions.inverting(torch.ones(N, dtype=torch.bool)).runs_weak.any()
    joined = Conditions.cat([Conditions.none(2), conditions])
    assert joined.autoguidance_scale.tolist() == [1.0, 1.0, *SCALE.tolist()]


def test_rows_that_ask_for_a_weak_network_which_is_not_there_are_refused():
    plan = make_plan(BASE.schedule, "ddim", 2)
    with pytest.raises(ValueError, match="no weak network"):
        sample(BASE.denoiser(), plan, autoguided(), torch.arange(N), IMAGES.shape)
    sample(BASE.denoiser(), plan, autoguided(torch.ones(N)), torch.arange(N), IMAGES.shape)


def test_it_fits_its_base_with_these_weights_only(tmp_path):
    save_checkpoint(tmp_path / "weak", WEAK.config, WEAK.network)
    weak = load_autoguidance(tmp_path / "weak")
    again = load_checkpoint(save_tiny(tmp_path, IMAGES, learned_variance=True))
    assert weak.fits(again)
    x_t, t = rows()
    assert torch.equal(weak.torch_network()(x_t, t, LABEL), WEAK.torch_network()(x_t, t, LABEL))
    assert not weak.fits(load_checkpoint(save_tiny(tmp_path, IMAGES, name="mnist-other", learned_variance=True)))
    other = replace(again, network=copy.deepcopy(again.network))
    with torch.no_grad():
        other.network.enter.bias[0] += 1e-3
    assert not weak.fits(other)


@pytest.mark.parametrize(
    ("base", "says"), [(tiny_student(IMAGES), "is a student"), (tiny_text_checkpoint(IMAGES), "reads prompts")]
)
def test_a_denoiser_that_cannot_have_one_is_named(base, says):
    with pytest.raises(ValueError, match=says):
        AutoguidanceConfig.beside(base, name="x", network=base.config.network)


def test_its_card_advises_no_interval():
    config = tiny_autoguidance(tiny_checkpoint(POINTS)).config
    assert isinstance(config.network, MLPConfig)
    advice = SamplingOverrides(guidance_interval=(0.2, 3.0))
    with pytest.raises(ValueError, match="guidance_interval is for classifier-free"):
        AutoguidanceConfig.model_validate(replace_sampling(config, advice))


def replace_sampling(config: AutoguidanceConfig, sampling: SamplingOverrides) -> dict:
    return config.model_dump() | {"sampling": sampling.model_dump()}
