"""Students: their jumps, how they are told the guidance scale and where to, and how they may be sampled."""

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
MEAN, VARIANCE = 0.2, 0.05
ALPHA_BAR = torch.from_numpy(SCHEDULE.alpha_bar)


def deviation(alpha_bar: torch.Tensor) -> torch.Tensor:
    """Standard deviation of x_t."""
    return (alpha_bar * VARIANCE + 1 - alpha_bar).sqrt()


def flow_map(x: torch.Tensor, t: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
    """Where the ODE of the Gaussian N(MEAN, VARIANCE) that passes through x at t is at s. Float64."""
    at_t, at_s = (per_row(ALPHA_BAR[one], x) for one in (t, s))
    return at_s.sqrt() * MEAN + deviation(at_s) / deviation(at_t) * (x - at_t.sqrt() * MEAN)


def flow_map_network(x, t, condition, scale, s):
    """v of that flow map: the x̂0 with which one ddim step t → s arrives at it, as v."""
    at_t, at_s = (per_row(ALPHA_BAR[one], x) for one in (t, s))
    a = (1 - at_s).sqrt() / (1 - at_t).sqrt()
    x0 = (flow_map(x, t, s) - a * x) / (at_s.sqrt() - a * at_t.sqrt())
    return (at_t.sqrt() * x - x0) / (1 - at_t).sqrt()


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_ddim_over_the_flow_map_of_a_gaussian_ends_at_the_same_point_in_any_number_of_steps(steps):
    noise = torch.linspace(-3, 3, 7, dtype=torch.float64).unsqueeze(1)
    denoiser = Denoiser(flow_map_network, SCHEDULE, "v", clip=1.0, jumps=True)
    x, t = noise, torch.full((7,), 1000)
    plan = make_plan(SCHEDULE, "ddim", steps)
    for row, s in enumerate(plan.s.tolist()):
        t, to = torch.full((7,), int(plan.t[row])), torch.full((7,), s)
        x0 = denoiser(x, t, Conditions.alike(7, label=3, guidance_scale=1.5), to).x0
        x = plan.column("x")[row] * x + plan.column("x0")[row] * x0
    end = flow_map(noise, torch.full((7,), 1000), torch.zeros(7, dtype=torch.int64))
    torch.testing.assert_close(x, end.clamp(-1, 1), rtol=0, atol=2e-4)  # the schedule is float32 in a denoiser


def test_ddim_over_a_posterior_mean_ends_elsewhere_in_few_steps():
    def posterior_mean_as_v(x, t, condition):
        alpha_bar = per_row(ALPHA_BAR[t], x)
        mean = MEAN + alpha_bar.sqrt() * VARIANCE / deviation(alpha_bar) ** 2 * (x - alpha_bar.sqrt() * MEAN)
        return (alpha_bar.sqrt() * x - mean) / (1 - alpha_bar).sqrt()

    noise, T = torch.tensor([[2.0]], dtype=torch.float64), torch.tensor([1000])
    x0 = Denoiser(posterior_mean_as_v, SCHEDULE, "v")(noise, T, Conditions.none(1)).x0
    assert (flow_map(noise, T, torch.tensor([0])) - x0).item() == pytest.approx(2 * VARIANCE**0.5, rel=1e-3)


def test_x0_is_bounded_only_where_a_jump_ends_at_the_data():
    def far(x, t, condition, scale, s):
        return torch.full_like(x, -50.0)

    denoiser = Denoiser(far, SCHEDULE, "v", clip=1.0, jumps=True)
    x, t = torch.zeros(2, 1), torch.full((2,), 500)
    end, middle = denoiser(x, t, Conditions.none(2), torch.tensor([0, 250])).x0.flatten().tolist()
    assert end == 1.0 and middle > 10


def test_a_student_is_asked_once_a_row_with_its_scale_and_where_it_goes():
    student, calls = tiny_student(), []
    denoiser = student.denoiser()
    network = denoiser.network
    denoiser.network = lambda *given: calls.append(given) or network(*given)
    labels, scales = torch.tensor([3, 3, NO_LABEL, 3]), torch.tensor([1.0, 2.5, 2.5, 0.0])
    x, t = torch.randn(1, 1, 8, 8).expand(4, -1, -1, -1), torch.full((4,), 20)
    with torch.inference_mode():
        found = denoiser(x, t, Conditions(labels, scales), torch.tensor([0, 0, 10, 10])).x0
    (_, _, shown, scale, s), *others = calls
    assert not others
    assert shown.tolist() == [3, 3, NO_LABEL, NO_LABEL] and scale.tolist() == [1.0, 2.5, 1.0, 1.0]
    assert s.tolist() == [0, 0, 10, 10]
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
    plan = make_plan(student.schedule, "ddim", 2)
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
        ({"sampler": "renoise"}, "sampler"),
        ({"sampler": "heun"}, "sampler"),
        ({"eta": 0.1}, "eta"),
        ({"guidance_interval": (0.2, 3.0)}, "guidance_interval"),
        ({"sampler": "dpmpp-2m"}, "sampler"),
        ({"sampler": "ddpm"}, "sampler"),
        ({"steps": 3}, "steps"),
        ({"steps": 50}, "steps"),
        ({"guidance_scale": 0.9}, "guidance_scale"),
        ({"guidance_scale": 3.1}, "guidance_scale"),
    ],
)
def test_what_a_student_cannot_do_is_refused_by_field(changed, field):
    student = tiny_student().config
    options = student.sampling.model_copy(update=changed)
    assert student.distilled.refusal(options)[0] == field
    with pytest.raises(ValueError, match=field):
        DenoiserConfig.model_validate(student.model_dump() | {"sampling": options.model_dump()})


@pytest.mark.parametrize("steps", [1, 2, 4])
@pytest.mark.parametrize("scale", [0.0, 1.0, 3.0])
def test_what_a_student_can_do_is_not_refused(steps, scale):
    options = SamplingConfig(sampler="ddim", steps=steps, guidance_scale=scale)
    assert tiny_student().config.distilled.refusal(options) is None


def test_no_gradient_moves_a_student():
    unconditional = IMAGES.model_copy(update={"labels": ()})
    assert tiny_classifier().fits(tiny_checkpoint().config) and not tiny_classifier().fits(tiny_student().config)
    assert tiny_clip().fits(tiny_checkpoint(unconditional).config)
    assert not tiny_clip().fits(tiny_student(unconditional).config)


def test_a_range_without_the_conditional_scale_is_refused():
    with pytest.raises(ValueError, match="guidance_range"):
        DistilledConfig(teacher="mnist-cfg", guidance_range=(1.5, 3.0))


def test_weights_without_the_scale_are_no_student_s(tmp_path):
    save_checkpoint(tmp_path / "half", tiny_student().config, tiny_checkpoint().network)
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path / "half")
