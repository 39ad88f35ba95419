"""Consistency distillation: its loss against one written out by hand, what it draws, and a student that learns."""

import math
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

from model.checkpoints.base import save_checkpoint
from model.checkpoints.config import load_config
from model.checkpoints.denoiser import DenoiserConfig, load_checkpoint
from model.checkpoints.weights import CheckpointError
from model.conditions import NO_LABEL
from model.noise_schedule import make_schedule
from model.prediction import per_row
from tests.tiny import IMAGES, POINTS, save_tiny, tiny_checkpoint, tiny_student, tiny_text_checkpoint
from training.data.synthetic_points import GaussianMixture
from training.recipe import ConsistencySection, RecipeError, load_recipe, parse_recipe
from training.tasks.consistency import begin_as
from training.tasks.consistency_loss import HUBER, ConsistencyLoss, draw_scales, draw_timesteps, gap_at
from training.tasks.registry import make_task
from training.trainer import train

GAPS = ({"gap": 10, "share": 0.25}, {"gap": 5, "share": 0.75})
SECTION = ConsistencySection(gaps=GAPS)
RECIPE = {
    "role": "consistency",
    "name": "tiny-fast",
    "teacher": "gaussian-tiny",
    "distillation": {"gaps": GAPS},
    "optimisation": {"steps": 8, "batch_size": 16, "warmup_steps": 2, "ema_decay": 0.9, "sample_every": 1000},
}
GAUSSIAN = GaussianMixture().config


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("data", [IMAGES, POINTS])
def test_a_student_starts_as_its_teacher_bit_for_bit_at_every_scale(data):
    teacher = tiny_checkpoint(data)
    student = tiny_student(data).config.build_network().eval()
    begin_as(student, teacher.network)
    x, t = torch.randn(12, *data.shape, generator=generator()), torch.randint(1, 51, (12,), generator=generator(1))
    labels = torch.randint(NO_LABEL, 2, (12,), generator=generator(2))
    scales = 1 + 2 * torch.rand(12, generator=generator(3))
    with torch.inference_mode():
        assert torch.equal(student(x, t, labels, scales), teacher.network(x, t, labels))


def hand_written_target(teacher, student, alpha_bar, x_t, t, label, scale, gap):
    """y of one row, in the words of Luo 2023, algorithm 1: all float64 but the networks."""

    def x0_of(network, x, t, *more):
        output = network(x.float()[None], torch.tensor([t]), *more)[0].double()
        return math.sqrt(alpha_bar[t]) * x - math.sqrt(1 - alpha_bar[t]) * output

    asked, nothing = torch.tensor([label]), torch.tensor([NO_LABEL])
    conditional, unconditional = x0_of(teacher, x_t, t, asked), x0_of(teacher, x_t, t, nothing)
    x0 = (unconditional + scale * (conditional - unconditional)).clamp(-1, 1)
    r = max(t - gap, 0)
    noise = (x_t - math.sqrt(alpha_bar[t]) * x0) / math.sqrt(1 - alpha_bar[t])
    x_r = math.sqrt(alpha_bar[r]) * x0 + math.sqrt(1 - alpha_bar[r]) * noise
    if r == 0:
        return x_r.clamp(-1, 1)
    return x0_of(student, x_r, r, asked, torch.tensor([scale]).float()).clamp(-1, 1)


def test_the_target_is_that_of_a_loop_written_by_hand():
    teacher, student = tiny_checkpoint(), tiny_student()
    loss = ConsistencyLoss(teacher.schedule, teacher.network, SECTION, clip=1.0)
    t = torch.tensor([50, 50, 31, 11, 10, 3, 1])
    labels = torch.tensor([3, NO_LABEL, 5, 0, 9, NO_LABEL, 2])
    scale = torch.tensor([1.0, 1.0, 2.5, 3.0, 1.5, 1.0, 2.0])
    x_t = torch.randn(len(t), *IMAGES.shape, generator=generator())
    found = loss.target(student.network, x_t, t, labels, scale, gap=10)
    with torch.inference_mode():
        rows = zip(x_t.double(), t.tolist(), labels.tolist(), scale.tolist(), strict=True)
        expected = torch.stack(
            [
                hand_written_target(teacher.network, student.network, teacher.schedule.alpha_bar, *row, gap=10)
                for row in rows
            ]
        )
    assert not found.requires_grad
    torch.testing.assert_close(found, expected.float(), rtol=1e-4, atol=1e-4)


def test_the_loss_is_the_pseudo_huber_distance_of_the_unclamped_prediction_from_the_target():
    teacher, student = tiny_checkpoint(), tiny_student()
    loss = ConsistencyLoss(teacher.schedule, teacher.network, SECTION, clip=1.0)
    x0, labels = 2 * torch.rand(6, *IMAGES.shape, generator=generator()) - 1, torch.arange(6)
    found = loss(student.network, x0, labels, 10, generator(5))

    again = generator(5)
    t = draw_timesteps(6, 50, SECTION, again)
    noise = torch.randn(x0.shape, generator=again)
    shown, scale = draw_scales(labels, SECTION, again)
    alpha_bar = per_row(torch.from_numpy(teacher.schedule.alpha_bar).float()[t], x0)
    x_t = alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * noise
    target = loss.target(student.network, x_t, t, shown, scale, 10)
    prediction = alpha_bar.sqrt() * x_t - (1 - alpha_bar).sqrt() * student.network(x_t, t, shown, scale)
    c = HUBER * math.sqrt(64)
    distances = [(((p - y) ** 2).sum().item() + c**2) ** 0.5 - c for p, y in zip(prediction, target, strict=True)]
    assert found.item() == pytest.approx(sum(distances) / 6, rel=1e-5)
    assert (prediction.abs() > 1).any()  # or the clamp would not have been looked at
    (gradient,) = torch.autograd.grad(found, student.network.embedding.guidance.weight)
    assert gradient.abs().max() > 0


def gaussian_networks(schedule, mean: float, variance: float):
    """(the exact v of the Gaussian's posterior mean, that of its consistency function): a teacher and its student."""
    alpha_bar = torch.from_numpy(schedule.alpha_bar).float()

    def v_of(slope):
        def network(x, t, *more):
            a = per_row(alpha_bar[t], x)
            x0 = mean + slope(a) * (x - a.sqrt() * mean)
            return (a.sqrt() * x - x0) / (1 - a).sqrt()

        return network

    return (
        v_of(lambda a: a.sqrt() * variance / (a * variance + 1 - a)),
        v_of(lambda a: (variance / (a * variance + 1 - a)).sqrt()),
    )


def test_the_exact_consistency_function_has_no_loss_but_the_solver_s_and_the_teacher_itself_has_some():
    schedule = make_schedule("cosine", 1000)
    teacher, student = gaussian_networks(schedule, 0.2, 0.3)
    loss = ConsistencyLoss(schedule, teacher, SECTION, clip=None)
    x0, labels = 0.2 + 0.3**0.5 * torch.randn(4000, 1, generator=generator()), torch.full((4000,), NO_LABEL)

    def at(network, gap: int) -> float:
        return loss(network, x0, labels, gap, generator(1)).item()

    exact = [at(student, gap) for gap in (100, 20)]
    assert exact[1] < 0.005 and exact[1] < exact[0] / 3  # of the ddim step's own order
    assert at(teacher, 20) > 3 * exact[1]


def test_timesteps_are_T_in_the_window_or_anywhere_by_their_shares():
    section = SECTION.model_copy(update={"at_T": 0.25, "in_window": 0.5, "window": (0.4, 0.6)})
    t = draw_timesteps(40_000, 1000, section, generator())
    assert t.min() == 1 and t.max() == 1000
    assert (t == 1000).double().mean().item() == pytest.approx(0.25 + 0.25 / 1000, abs=0.01)
    window = (t > 400) & (t <= 600)
    assert window.double().mean().item() == pytest.approx(0.5 + 0.25 * 0.2, abs=0.01)
    rest = t[(t < 1000) & ~window]
    assert (rest <= 400).double().mean().item() == pytest.approx(0.5, abs=0.02)


def test_scales_are_1_without_a_label_and_in_their_share_of_the_rest_else_uniform_in_the_range():
    labels = torch.arange(40_000) % 10
    labels[:8000] = NO_LABEL
    shown, scale = draw_scales(labels, SECTION, generator())
    assert (scale[shown == NO_LABEL] == 1).all() and (shown[:8000] == NO_LABEL).all()
    assert (shown[8000:] == NO_LABEL).double().mean().item() == pytest.approx(0.15, abs=0.01)
    assert (shown[8000:] == labels[8000:])[shown[8000:] != NO_LABEL].all()
    asked = scale[shown != NO_LABEL]
    assert (asked == 1).double().mean().item() == pytest.approx(0.25 / 0.85, abs=0.01)
    guided = asked[asked != 1]
    assert guided.min() > 1 and guided.max() < 3
    assert guided.mean().item() == pytest.approx(2, abs=0.02)


def test_every_gap_has_its_share_of_the_steps_in_order():
    assert [gap_at(step, 8, SECTION.gaps) for step in range(9)] == [10, 10, 5, 5, 5, 5, 5, 5, 5]


@pytest.fixture
def checkpoints(tmp_path):
    save_tiny(tmp_path, GAUSSIAN, "gaussian-tiny")
    return tmp_path


def test_a_student_is_trained_and_its_teacher_is_not(checkpoints):
    task = make_task(parse_recipe(RECIPE, "here"), checkpoints)
    teacher = {name: weight.clone() for name, weight in task.teacher.network.state_dict().items()}
    (checkpoints / "run").mkdir()
    average = train(task, checkpoints / "run", Accelerator())
    task.save(average, checkpoints / "tiny-fast")
    assert all(torch.equal(weight, teacher[name]) for name, weight in task.teacher.network.state_dict().items())

    loaded = load_checkpoint(checkpoints / "tiny-fast")
    assert loaded.config.distilled.model_dump() == {
        "teacher": "gaussian-tiny", "consistency": True, "guidance_range": (1.0, 3.0)
    }  # fmt: skip
    weights = loaded.network.state_dict()
    assert weights["embedding.guidance.weight"].abs().max() > 0
    assert any(not torch.equal(weight, teacher[name]) for name, weight in weights.items() if name in teacher)
    assert "distilled | from gaussian-tiny" in (checkpoints / "tiny-fast" / "README.md").read_text()

    again = make_task(parse_recipe(RECIPE, "here"), checkpoints, "tiny-fast")
    assert all(torch.equal(weight, weights[name]) for name, weight in again.network.state_dict().items())
    assert again.config.recipe["started_from"] == "tiny-fast"


def test_a_student_goes_on_from_students_alone(checkpoints):
    with pytest.raises(RecipeError, match="gaussian-tiny is no student"):
        make_task(parse_recipe(RECIPE, "here"), checkpoints, "gaussian-tiny")


def test_a_teacher_that_cannot_be_distilled_is_named(checkpoints):
    text, student = tiny_text_checkpoint(name="words"), tiny_student(GAUSSIAN, "pupil")
    save_checkpoint(checkpoints / "words", text.config, text.network, text.text)
    save_checkpoint(checkpoints / "pupil", student.config, student.network)
    save_tiny(checkpoints, GAUSSIAN, "bounded", learned_variance=True)
    for name, says in {
        "words": "reads prompts",
        "pupil": "is a student itself",
        "bounded": "learned no variance",
        "nowhere": "cannot read config.json",
    }.items():
        with pytest.raises(RecipeError, match=says):
            make_task(parse_recipe(RECIPE | {"teacher": name}, "here"), checkpoints)


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({"gaps": [{"gap": 10, "share": 0.5}]}, "shares of gaps"),
        ({"label_drop": 0.8, "conditional": 0.3}, "label_drop and conditional"),
        ({"at_T": 0.8, "in_window": 0.3}, "at_T and in_window"),
        ({"window": (0.7, 0.4)}, "window"),
        ({"guidance_range": (2.0, 3.0)}, "guidance_range"),
    ],
)
def test_a_recipe_that_does_not_add_up_is_refused(section, says):
    with pytest.raises(RecipeError, match=says):
        parse_recipe(RECIPE | {"distillation": RECIPE["distillation"] | section}, "here")


def test_a_recipe_that_advises_another_sampler_is_refused(checkpoints):
    with pytest.raises(RecipeError, match=r"sampling.sampler is renoise"):
        make_task(parse_recipe(RECIPE | {"sampling": {"sampler": "ddim", "steps": 2}}, "here"), checkpoints)


def test_the_shipped_recipe_s_teacher_is_shipped_and_fits():
    recipe = load_recipe("mnist-fast")
    teacher = load_config(Path(__file__).parents[4] / "checkpoints" / recipe.teacher, DenoiserConfig)
    assert teacher.prediction.target == "v" and teacher.conditioning == "label"
    assert max(section.gap for section in recipe.distillation.gaps) < teacher.schedule.T


def test_a_broken_teacher_is_a_checkpoint_error_that_names_the_recipe(checkpoints):
    (checkpoints / "gaussian-tiny" / "config.json").write_text("{")
    with pytest.raises(RecipeError, match="tiny-fast: teacher") as refused:
        make_task(parse_recipe(RECIPE, "here"), checkpoints)
    assert isinstance(refused.value.__cause__, CheckpointError)
