"""Consistency students: what they predict, how they are told the guidance scale, and how they may be sampled."""

import pytest
import torch

from model.checkpoints.base import save_checkpoint
from model.checkpoints.config import SamplingConfig
from model.checkpoints.denoiser import DenoiserConfig, load_checkpoint
from model.checkpoints.distilled import DistilledConfig
from model.checkpoints.weights import CheckpointError
from model.conditions import NO_LABEL, Conditions
from model.denoiser import Denoiser
from model.noise import sample_seeds
from model.noise_schedule import make_schedule
from model.plan import make_plan
from model.prediction import per_row
from model.sampling_loop import sample
from tests.tiny import IMAGES, tiny_checkpoint, tiny_classifier, tiny_clip, tiny_student

SCHEDULE = make_schedule("cosine", 1000)
MEAN, VARIANCE = 0.7, 0.3
ALPHA_BAR = torch.from_numpy(SCHEDULE.alpha_bar).float()


def consistency_function(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Where the ODE of the Gaussian N(MEAN, VARIANCE) that passes through x at t ends at t = 0."""
    alpha_bar = per_row(ALPHA_BAR[t], x)
    slope = (VARIANCE / (alpha_bar * VARIANCE + 1 - alpha_bar)).sqrt()
    return MEAN + slope * (x - alpha_bar.sqrt() * MEAN)


def posterior_mean(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """E[x_0 | x_t] of that Gaussian."""
    alpha_bar = per_row(ALPHA_BAR[t], x)
    slope = alpha_bar.sqrt() * VARIANCE / (alpha_bar * VARIANCE + 1 - alpha_bar)
    return MEAN + slope * (x - alpha_bar.sqrt() * MEAN)


def moments(predicted_x0, sampler: str, steps: int) -> tuple[float, float]:
    """Mean and variance of what a plan makes of pure noise, exactly: every step is affine in x, and z is independent.

    The network puts out v, so that x̂0 is read as a student's is.
    """

    def network(x, t, condition):
        alpha_bar = per_row(ALPHA_BAR[t], x)
        return (alpha_bar.sqrt() * x - predicted_x0(x, t)) / (1 - alpha_bar).sqrt()

    denoiser, plan = Denoiser(network, SCHEDULE, "v"), make_plan(SCHEDULE, sampler, steps)
    mean, variance = 0.0, 1.0
    for t, (a, b, noise) in zip(
        plan.t.tolist(), zip(*(plan.column(c) for c in ("x", "x0", "noise")), strict=True), strict=True
    ):
        at = denoiser(torch.tensor([[0.0], [1.0]]), torch.full((2,), t), Conditions.none(2)).x0.double()
        offset, slope = at[0].item(), (at[1] - at[0]).item()
        mean, variance = a * mean + b * (offset + slope * mean), (a + b * slope) ** 2 * variance + noise**2
    return mean, variance


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 10, 50])
def test_renoise_on_the_consistency_function_of_a_gaussian_is_exact_in_any_number_of_steps(steps):
    mean, variance = moments(consistency_function, "renoise", steps)
    assert mean == pytest.approx(MEAN, abs=1e-4)
    assert variance == pytest.approx(VARIANCE, rel=1e-4)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 10, 50])
def test_renoise_on_a_posterior_mean_loses_variance(steps):
    mean, variance = moments(posterior_mean, "renoise", steps)
    assert mean == pytest.approx(MEAN, abs=1e-4)
    assert variance < 0.97 * VARIANCE


def test_a_student_is_asked_once_a_row_with_the_scale_of_the_row_and_1_where_there_is_no_label():
    student, calls = tiny_student(), []
    denoiser = student.denoiser()
    network = denoiser.network
    denoiser.network = lambda *given: calls.append(given) or network(*given)
    labels, scales = torch.tensor([3, 3, NO_LABEL, 3]), torch.tensor([1.0, 2.5, 2.5, 0.0])
    x, t = torch.randn(1, 1, 8, 8).expand(4, -1, -1, -1), torch.full((4,), 20)
    with torch.inference_mode():
        found = denoiser(x, t, Conditions(labels, scales)).x0
    (_, _, shown, scale), *others = calls
    assert not others
    assert shown.tolist() == [3, 3, NO_LABEL, NO_LABEL] and scale.tolist() == [1.0, 2.5, 1.0, 1.0]
    assert not torch.equal(found[0], found[1])
    assert torch.equal(found[2], found[3])


def test_in_one_half_every_row_costs_one_evaluation_and_keeps_what_it_asks():
    conditions = Conditions(torch.tensor([3, 3, NO_LABEL, 3]), torch.tensor([1.0, 2.5, 2.5, 0.0]))
    assert conditions.network_evaluations.tolist() == [1, 2, 1, 1]
    halves = conditions.in_one_half()
    assert halves.network_evaluations.tolist() == [1, 1, 1, 1]
    assert halves.runs_conditional.tolist() == conditions.runs_conditional.tolist() == [True, True, False, False]


def test_a_student_s_samples_follow_from_their_own_row_alone():
    student = tiny_student()
    plan = make_plan(student.schedule, "renoise", 2)
    seeds = torch.from_numpy(sample_seeds(0, 4))
    conditions = Conditions(torch.tensor([1, 2, NO_LABEL, 4]), torch.tensor([1.0, 1.5, 1.0, 3.0]))
    together = sample(student.denoiser(), plan, conditions, seeds, IMAGES.shape)
    alone = [sample(student.denoiser(), plan, conditions[i : i + 1], seeds[i : i + 1], IMAGES.shape) for i in range(4)]
    torch.testing.assert_close(together, torch.cat(alone))


def test_a_student_is_saved_with_all_that_it_takes_to_sample_it(tmp_path):
    student = tiny_student()
    save_checkpoint(tmp_path / "mnist-fast", student.config, student.network)
    loaded = load_checkpoint(tmp_path / "mnist-fast")
    assert loaded.config == student.config
    x, t = torch.randn(3, 1, 8, 8), torch.tensor([1, 20, 50])
    conditions = Conditions(torch.tensor([1, 2, 3]), torch.tensor([1.0, 2.0, 3.0]))
    with torch.inference_mode():
        assert torch.equal(loaded.denoiser()(x, t, conditions).x0, student.denoiser()(x, t, conditions).x0)


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"sampler": "ddim"}, "sampler"),
        ({"sampler": "dpmpp-2m"}, "sampler"),
        ({"sampler": "ddpm"}, "sampler"),
        ({"steps": 3}, "steps"),
        ({"steps": 50}, "steps"),
        ({"guidance_scale": 0.9}, "guidance_scale"),
        ({"guidance_scale": 3.1}, "guidance_scale"),
    ],
)
def test_what_a_consistency_student_cannot_do_is_refused_by_field(changed, field):
    student = tiny_student().config
    options = student.sampling.model_copy(update=changed)
    assert student.distilled.refusal(options)[0] == field
    with pytest.raises(ValueError, match=field):
        DenoiserConfig.model_validate(student.model_dump() | {"sampling": options.model_dump()})


@pytest.mark.parametrize("steps", [1, 2, 4])
@pytest.mark.parametrize("scale", [0.0, 1.0, 3.0])
def test_what_a_consistency_student_can_do_is_not_refused(steps, scale):
    options = SamplingConfig(sampler="renoise", steps=steps, guidance_scale=scale)
    assert tiny_student().config.distilled.refusal(options) is None


def test_a_student_of_guidance_alone_keeps_every_sampler():
    distilled = DistilledConfig(teacher="mnist-cfg", consistency=False, guidance_range=(1.0, 3.0))
    assert distilled.refusal(SamplingConfig(sampler="dpmpp-2m", steps=20)) is None
    assert distilled.refusal(SamplingConfig(guidance_scale=4.0))[0] == "guidance_scale"


def test_no_gradient_moves_a_consistency_student():
    unconditional = IMAGES.model_copy(update={"labels": ()})
    assert tiny_classifier().fits(tiny_checkpoint().config) and not tiny_classifier().fits(tiny_student().config)
    assert tiny_clip().fits(tiny_checkpoint(unconditional).config)
    assert not tiny_clip().fits(tiny_student(unconditional).config)


def test_a_range_without_the_conditional_scale_is_refused():
    with pytest.raises(ValueError, match="guidance_range"):
        DistilledConfig(teacher="mnist-cfg", consistency=True, guidance_range=(1.5, 3.0))


def test_weights_without_the_scale_are_no_student_s(tmp_path):
    save_checkpoint(tmp_path / "half", tiny_student().config, tiny_checkpoint().network)
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path / "half")
