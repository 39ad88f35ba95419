"""Distillation into a flow map: stored runs against a loop by hand, the loss on an exact map, a student that learns."""

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from model.checkpoints.base import save_checkpoint
from model.checkpoints.config import load_config
from model.checkpoints.denoiser import DenoiserConfig, PredictionConfig, load_checkpoint
from model.checkpoints.weights import CheckpointError
from model.conditions import NO_LABEL, Conditions
from model.noise import normal, sample_seeds
from model.noise_schedule import make_schedule
from model.plan import make_plan
from model.prediction import per_row, split_output
from model.sampling_loop import sample
from tests.tiny import (
    IMAGES,
    POINTS,
    save_tiny,
    tiny_checkpoint,
    tiny_control,
    tiny_student,
    tiny_text,
    tiny_text_checkpoint,
)
from training.data.captions import Caption
from training.data.synthetic_points import GaussianMixture
from training.evaluate.sampling_run import SamplingRun
from training.flow_map_section import FlowMapSection
from training.recipe import RecipeError, load_recipe, parse_recipe
from training.tasks.flow_map import begin_as
from training.tasks.jump_loss import HUBER, JumpLoss
from training.tasks.registry import make_task
from training.tasks.teacher import Teacher, draw_hints, draw_labels, draw_prompts
from training.tasks.trajectories import Trajectories, grid, run_teacher, stored_runs
from training.trainer import train

JUMPS = ({"t": 4, "s": 0, "share": 0.5}, {"t": 4, "s": 2, "share": 0.25}, {"t": 2, "s": 0, "share": 0.25})
SECTION = FlowMapSection(jumps=JUMPS, trajectories=6, teacher_steps=2, guidance_interval=(0.5, 2.0), label_drop=0.5)
RECIPE = {
    "role": "flow-map",
    "name": "tiny-fast",
    "teacher": "gaussian-tiny",
    "distillation": {"jumps": JUMPS, "trajectories": 32, "teacher_steps": 1},
    "optimisation": {"steps": 8, "batch_size": 16, "warmup_steps": 2, "ema_decay": 0.9, "sample_every": 1000},
}
GAUSSIAN = GaussianMixture().config


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("data", [IMAGES, POINTS])
def test_a_student_starts_as_its_teacher_bit_for_bit_at_every_scale_and_s(data):
    teacher = tiny_checkpoint(data)
    student = tiny_student(data).config.build_network().eval()
    begin_as(student, teacher.network)
    x, t = torch.randn(12, *data.shape, generator=generator()), torch.randint(1, 51, (12,), generator=generator(1))
    labels = torch.randint(NO_LABEL, 2, (12,), generator=generator(2))
    scales, s = 1 + 2 * torch.rand(12, generator=generator(3)), torch.arange(12) % t
    with torch.inference_mode():
        assert torch.equal(student(x, t, labels, scales, s), teacher.network(x, t, labels))


@pytest.mark.parametrize("data", [IMAGES, POINTS])
def test_of_a_learned_variance_a_student_takes_the_mean_alone(data):
    unlabelled = data.model_copy(update={"labels": ()})
    teacher = tiny_checkpoint(unlabelled, learned_variance=True)
    student = tiny_student(unlabelled).config.build_network().eval()
    begin_as(student, teacher.network)
    x, t = torch.randn(12, *data.shape, generator=generator()), torch.randint(1, 51, (12,), generator=generator(1))
    labels, scales, s = torch.full((12,), NO_LABEL), torch.ones(12), torch.arange(12) % t
    with torch.inference_mode():
        mean, _ = split_output(teacher.network(x, t, labels), learned_variance=True)
        torch.testing.assert_close(student(x, t, labels, scales, s), mean)


def run_by_hand(teacher, condition, none, scale, seed, interval):
    """One run of dpmpp-2m, guided within the interval, where a quarter of T is done: float64 but the network."""
    plan, alpha_bar = make_plan(teacher.schedule, "dpmpp-2m", 8), teacher.schedule.alpha_bar
    x = normal(torch.tensor([seed]), torch.tensor([0]), IMAGES.shape).double()
    kept, before = [x], torch.zeros_like(x)
    for step, t in enumerate(plan.t.tolist()):
        conditional, unconditional = (
            teacher.network(x.float(), torch.tensor([t]), shown).double() for shown in (condition, none)
        )
        sigma = math.sqrt((1 - alpha_bar[t]) / alpha_bar[t])
        guided = scale if interval[0] <= sigma <= interval[1] else 1.0
        v = unconditional + guided * (conditional - unconditional)
        x0 = (math.sqrt(alpha_bar[t]) * x - math.sqrt(1 - alpha_bar[t]) * v).clamp(-1, 1)
        a, b, c = (plan.column(name)[step] for name in ("x", "x0", "x0_before"))
        x, before = a * x + b * x0 + c * before, x0
        if step % 2:
            kept.append(x)
    return torch.cat(kept)


def test_the_stored_runs_are_those_of_a_loop_written_by_hand():
    teacher = tiny_checkpoint()
    runs = run_teacher(Teacher(teacher, real=None), SECTION, seed=3)
    labels, scales = draw_labels(6, 10, SECTION, torch.Generator().manual_seed(3))
    assert torch.equal(runs.condition, labels) and torch.equal(runs.scales, scales)
    assert (labels == NO_LABEL).any() and (scales[labels != NO_LABEL] > 1).all()
    with torch.inference_mode():
        for i, (label, scale) in enumerate(zip(labels.tolist(), scales.tolist(), strict=True)):
            expected = run_by_hand(
                teacher,
                torch.tensor([label]),
                torch.tensor([NO_LABEL]),
                scale,
                3 * 2**32 + 2**31 + i,
                SECTION.guidance_interval,
            )
            torch.testing.assert_close(runs.x[i].double(), expected, rtol=2e-3, atol=2e-3)  # float16


@pytest.mark.parametrize("seed", [0, 3, 2**31 - 1])
def test_no_run_starts_from_noise_that_a_measurement_starts_from(seed, monkeypatch):
    used = []

    def seeds_of(first: int, n: int) -> np.ndarray:
        used.append(sample_seeds(first, n))
        return used[0]

    monkeypatch.setattr("training.tasks.trajectories.sample_seeds", seeds_of)
    run_teacher(Teacher(tiny_checkpoint(), real=None), SECTION, seed)
    (runs,) = used
    for other in (0, max(0, seed - 1), seed, min(seed + 1, 2**31 - 1)):  # `evaluate --seed` takes 0 … 2³¹ − 1
        measured = SamplingRun(torch.device("cpu"), other).first_seed
        assert not ((measured <= runs) & (runs < measured + 10**9)).any()
    assert runs.min() > 0 and len(set(runs.tolist())) == SECTION.trajectories


@pytest.mark.parametrize("has_it", [True, False])
def test_a_teacher_runs_in_bfloat16_where_the_recipe_wants_it_and_the_device_has_it(has_it, monkeypatch):
    monkeypatch.setattr("model.precision.has_bfloat16", lambda device: has_it)
    wants_it = SECTION.model_copy(update={"precision": "bfloat16"})
    in_float32, runs = (
        run_teacher(Teacher(tiny_checkpoint(), real=None), section, 3) for section in (SECTION, wants_it)
    )
    assert torch.equal(runs.x, in_float32.x) != has_it
    torch.testing.assert_close(runs.x, in_float32.x, rtol=0.1, atol=0.1)


class Words:
    """A captioned set whose row i has the caption i."""

    texts = ("the digit 3", "thin seven", "a nine leaning right")
    vocabulary = tiny_text().config.vocabulary

    def draw(self, rows, generator):
        return torch.empty(rows), torch.randint(len(self.texts), (rows, 1), generator=generator)

    def captions_of(self, traits, generator):
        return [Caption(self.texts[one], (one,)) for one in traits[:, 0].tolist()]


def test_a_teacher_that_reads_prompts_is_led_by_those_of_its_training():
    teacher = tiny_text_checkpoint()
    runs = run_teacher(Teacher(teacher, Words()), SECTION, seed=3)
    text, scales = draw_prompts(6, Words(), teacher.text, SECTION, torch.Generator().manual_seed(3))
    assert torch.equal(runs.condition, text) and torch.equal(runs.scales, scales)
    none = torch.zeros(1, text.shape[1])
    asked = (text != 0).any(1)
    assert asked.any() and not asked.all() and (scales[~asked] == 1).all() and (scales[asked] > 1).all()
    known = teacher.text.embed([Words.vocabulary.read(one) for one in Words.texts])
    assert all((known == one).all(1).any() for one in text[asked])
    with torch.inference_mode():
        for i, (row, scale) in enumerate(zip(text, scales.tolist(), strict=True)):
            expected = run_by_hand(teacher, row[None], none, scale, 3 * 2**32 + 2**31 + i, SECTION.guidance_interval)
            torch.testing.assert_close(runs.x[i].double(), expected, rtol=2e-3, atol=2e-3)  # float16


class Hinted:
    """Hinted images: row i has the label i and a hint of a brightness of its own."""

    def draw(self, rows, generator):
        labels = torch.randint(10, (rows,), generator=generator)
        hints = ((labels + 0.25) / 10).view(-1, 1, 1, 1).expand(rows, 1, *IMAGES.shape[1:])
        return torch.cat([torch.zeros(rows, *IMAGES.shape), hints], dim=1), labels


def test_runs_follow_hints_which_alone_are_guided_at_every_noise_level():
    denoiser = tiny_checkpoint()
    control = tiny_control(denoiser)
    runs = run_teacher(Teacher(denoiser, Hinted(), control), SECTION, seed=3)
    labels, hints, scales = draw_hints(6, Hinted(), SECTION, generator(3))
    assert torch.equal(runs.condition, labels) and torch.equal(runs.scales, scales) and (scales > 1).all()
    alone = labels == NO_LABEL
    assert alone.any() and not alone.all()
    read = runs.given(torch.arange(6), torch.device("cpu"))
    assert torch.equal(read[2], hints)
    predict = denoiser.denoiser(controls={"canny": control.control()})
    plan = make_plan(denoiser.schedule, "dpmpp-2m", 8)
    for i in range(6):
        interval = (0.0, math.inf) if alone[i] else SECTION.guidance_interval
        conditions = Conditions.alike(
            1, label=labels[i], guidance_scale=scales[i].item(), guidance_interval=interval
        ).with_hints(hints[i], "canny", control.config.control_scale)
        expected = sample(predict, plan, conditions, torch.tensor([3 * 2**32 + 2**31 + i]), IMAGES.shape)
        torch.testing.assert_close(runs.x[i, -1:].float(), expected, rtol=2e-3, atol=2e-3)  # float16


def test_stored_hints_come_back_as_they_were(tmp_path):
    teacher = Teacher(tiny_checkpoint(), Hinted(), tiny_control(tiny_checkpoint()))
    first, again = stored_runs(teacher, SECTION, 0), stored_runs(teacher, SECTION, 0)
    assert isinstance(again, Trajectories) and torch.equal(first.hints, again.hints) and torch.equal(first.x, again.x)
    assert stored_runs(Teacher(tiny_checkpoint(), real=None), SECTION, 0).hints is None


def test_runs_are_made_once_and_again_for_other_weights_or_settings(monkeypatch):
    teacher = Teacher(tiny_checkpoint(), real=None)
    first, again = stored_runs(teacher, SECTION, 0), stored_runs(teacher, SECTION, 0)
    assert torch.equal(first.x, again.x) and torch.equal(first.scales, again.scales)
    monkeypatch.setattr("training.tasks.trajectories.run_teacher", lambda *given: pytest.fail("they are stored"))
    other_jumps = SECTION.model_copy(update={"jumps": SECTION.jumps[:1]})
    assert torch.equal(stored_runs(teacher, other_jumps, 0).x, first.x)
    other = tiny_checkpoint()
    with torch.no_grad():
        next(other.network.parameters()).add_(1)
    for given in (
        (teacher, SECTION, 1),
        (teacher, SECTION.model_copy(update={"teacher_steps": 1}), 0),
        (Teacher(other, real=None), SECTION, 0),
        (Teacher(teacher.denoiser, Hinted(), tiny_control(teacher.denoiser)), SECTION, 0),
    ):
        with pytest.raises(pytest.fail.Exception):
            stored_runs(*given)


def test_labels_are_dropped_in_their_share_and_scales_are_uniform_in_the_range():
    section = FlowMapSection(jumps=JUMPS, label_drop=0.2, guidance_range=(1.0, 2.0))
    labels, scales = draw_labels(40_000, 10, section, generator())
    assert (labels == NO_LABEL).double().mean().item() == pytest.approx(0.2, abs=0.01)
    assert (scales[labels == NO_LABEL] == 1).all()
    asked = scales[labels != NO_LABEL]
    assert asked.min() >= 1 and asked.max() < 2 and asked.mean().item() == pytest.approx(1.5, abs=0.01)


def test_the_loss_of_the_exact_flow_map_is_zero_and_of_another_its_distance():
    schedule, T = make_schedule("cosine", 50), 50
    alpha_bar = torch.from_numpy(schedule.alpha_bar)
    variance = 0.3
    deviation = (alpha_bar * variance + 1 - alpha_bar).sqrt()
    noise = torch.randn(16, 2, generator=generator(), dtype=torch.float64)
    runs = torch.stack([deviation[t] / deviation[T] * noise for t in grid(T).tolist()], dim=1)

    def exact(x, t, labels, scales, s, off=0.0):
        """v of the flow map of N(0, 0.3), which arrives `off` too far in the first coordinate."""
        a = per_row((1 - alpha_bar[s]).sqrt() / (1 - alpha_bar[t]).sqrt(), x)
        b = per_row(alpha_bar[s].sqrt(), x) - a * per_row(alpha_bar[t].sqrt(), x)
        end = per_row(deviation[s] / deviation[t], x) * x + off * torch.tensor([1.0, 0.0])
        x0 = (end - a * x) / b
        return (per_row(alpha_bar[t].sqrt(), x) * x - x0) / per_row((1 - alpha_bar[t]).sqrt(), x)

    loss = JumpLoss(schedule, FlowMapSection(jumps=JUMPS, on_policy=0))
    given, c = (torch.zeros(16, dtype=torch.int64), torch.ones(16)), HUBER * math.sqrt(2)
    assert loss(exact, runs, given, generator()).item() == pytest.approx(0, abs=1e-5)
    off = loss(lambda *read: exact(*read, off=0.5), runs, given, generator()).item()
    assert off == pytest.approx(math.sqrt(0.5**2 + c**2) - c, rel=1e-4)


@pytest.mark.parametrize("hinted", [False, True])
def test_rows_start_on_their_run_or_where_the_student_s_own_jumps_lead(hinted):
    student = tiny_student()
    loss = JumpLoss(student.schedule, SECTION)
    runs = torch.randn(4, 5, *IMAGES.shape, generator=generator())
    labels, scales = torch.arange(4), torch.tensor([1.0, 1.5, 2.0, 1.0])
    t, s = torch.tensor([2, 2, 1, 4]), torch.tensor([0, 0, 0, 3])
    hints = torch.rand(4, 1, *IMAGES.shape[1:], generator=generator(1))
    control = tiny_control(student)

    def helped(*read):
        return student.network(*read[:-1], *control.network(*read))

    given = (labels, scales) if not hinted else (labels, scales, hints)
    own = torch.tensor([False, True, True, True])
    found = loss.starts(helped if hinted else student.network, runs, t, s, own, given)
    denoiser, schedule = student.denoiser(controls={"canny": control.control()}), student.schedule
    assert torch.equal(found[0], runs[0, 2]) and torch.equal(found[3], runs[3, 0])
    for row, steps, taken in ((1, 2, 1), (2, 4, 3)):
        x, plan = runs[row : row + 1, 0], make_plan(schedule, "ddim", steps)
        conditions = Conditions(labels[row : row + 1], scales[row : row + 1])
        if hinted:
            conditions = conditions.with_hints(hints[row], "canny", 1.0)
        for i in range(taken):
            at, to = (torch.tensor([int(column[i])]) for column in (plan.t, plan.s))
            with torch.inference_mode():
                x0 = denoiser(x, at, conditions, to).x0
            x = float(plan.column("x")[i]) * x + float(plan.column("x0")[i]) * x0
        torch.testing.assert_close(found[row : row + 1], x, rtol=1e-4, atol=1e-4)


def test_a_batch_has_every_jump_in_its_share():
    t, s = JumpLoss(make_schedule("cosine", 50), FlowMapSection(jumps=JUMPS)).quarters(8)
    assert sorted(zip(t.tolist(), s.tolist(), strict=True)) == [(2, 0)] * 2 + [(4, 0)] * 4 + [(4, 2)] * 2


def test_runs_are_kept_where_plans_of_1_2_and_4_steps_stop():
    for T in (50, 1000):
        for steps in (1, 2, 4):
            assert set(make_plan(make_schedule("cosine", T), "ddim", steps).s.tolist()) <= set(grid(T).tolist())


@pytest.fixture
def checkpoints(tmp_path):
    save_tiny(tmp_path, GAUSSIAN, "gaussian-tiny")
    return tmp_path


def test_a_student_is_trained_and_its_teacher_is_not(checkpoints):
    task = make_task(parse_recipe(RECIPE, "here"), checkpoints)
    teacher = {name: weight.clone() for name, weight in task.teacher.denoiser.network.state_dict().items()}
    (checkpoints / "run").mkdir()
    average = train(task, checkpoints / "run", Accelerator())
    task.save(average, checkpoints / "tiny-fast")
    assert all(
        torch.equal(weight, teacher[name]) for name, weight in task.teacher.denoiser.network.state_dict().items()
    )

    loaded = load_checkpoint(checkpoints / "tiny-fast")
    assert loaded.config.distilled.model_dump() == {
        "teacher": "gaussian-tiny", "guidance_range": (1.0, 2.0), "guidance_interval": None
    }  # fmt: skip
    weights = loaded.network.state_dict()
    assert all(weights[f"embedding.{name}.weight"].abs().max() > 0 for name in ("guidance", "arrival"))
    assert any(not torch.equal(weight, teacher[name]) for name, weight in weights.items() if name in teacher)
    assert "distilled | from gaussian-tiny" in (checkpoints / "tiny-fast" / "README.md").read_text()

    again = make_task(parse_recipe(RECIPE, "here"), checkpoints, "tiny-fast")
    assert all(torch.equal(weight, weights[name]) for name, weight in again.network.state_dict().items())
    assert again.config.recipe["started_from"] == "tiny-fast"


def test_a_student_goes_on_from_students_alone(checkpoints):
    with pytest.raises(RecipeError, match="gaussian-tiny is no student"):
        make_task(parse_recipe(RECIPE, "here"), checkpoints, "gaussian-tiny")


def test_a_teacher_that_cannot_be_distilled_is_named(checkpoints):
    student = tiny_student(GAUSSIAN, "pupil")
    save_checkpoint(checkpoints / "pupil", student.config, student.network)
    save_tiny(checkpoints, GAUSSIAN, "short", T=3, steps=1)
    noisy = tiny_checkpoint(GAUSSIAN, "noisy")
    predicts = noisy.config.model_copy(update={"prediction": PredictionConfig(target="epsilon")})
    save_checkpoint(checkpoints / "noisy", predicts, noisy.network)
    for name, says in {
        "pupil": "is a student itself: distil its teacher, gaussian-tiny",
        "short": "cannot take 4 steps",
        "noisy": "predicts epsilon: use a teacher that predicts v",
        "nowhere": "cannot read config.json",
    }.items():
        with pytest.raises(RecipeError, match=says):
            make_task(parse_recipe(RECIPE | {"teacher": name}, "here"), checkpoints)


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({"jumps": [{"t": 4, "s": 0, "share": 0.5}]}, "shares of jumps"),
        ({"jumps": [{"t": 2, "s": 2, "share": 1.0}]}, "even steps"),
        ({"jumps": [{"t": 3, "s": 0, "share": 1.0}]}, "even steps"),
        ({"guidance_range": (2.0, 3.0)}, "guidance_range"),
        ({"guidance_interval": (3.0, 2.0)}, "guidance_interval"),
    ],
)
def test_a_recipe_that_does_not_add_up_is_refused(section, says):
    with pytest.raises(RecipeError, match=says):
        parse_recipe(RECIPE | {"distillation": RECIPE["distillation"] | section}, "here")


def test_a_recipe_that_advises_another_sampler_is_refused(checkpoints):
    with pytest.raises(RecipeError, match=r"sampling.sampler is ddim"):
        make_task(parse_recipe(RECIPE | {"sampling": {"sampler": "renoise", "steps": 2}}, "here"), checkpoints)


def test_the_shipped_recipe_s_teacher_is_shipped_and_fits():
    recipe = load_recipe("mnist-fast")
    teacher = load_config(Path(__file__).parents[4] / "checkpoints" / recipe.teacher, DenoiserConfig)
    assert teacher.prediction.target == "v" and teacher.conditioning == "label"
    jumps = {(jump.t, jump.s) for jump in recipe.distillation.jumps}
    quarters = [[4, 0], [4, 2, 0], [4, 3, 2, 1, 0]]
    assert jumps == {pair for plan in quarters for pair in pairwise(plan)}


def test_a_broken_teacher_is_a_checkpoint_error_that_names_the_recipe(checkpoints):
    (checkpoints / "gaussian-tiny" / "config.json").write_text("{")
    with pytest.raises(RecipeError, match="tiny-fast: teacher") as refused:
        make_task(parse_recipe(RECIPE, "here"), checkpoints)
    assert isinstance(refused.value.__cause__, CheckpointError)
