"""A ControlNet beside a few-step student: what it begins as, what it learns, and what it cannot be trained beside."""

import pytest
import torch
from accelerate import Accelerator

from model.backends.onnx_runtime import onnx_row_function
from model.backends.pytorch import example_rows, torch_row_function
from model.checkpoints.base import save_checkpoint
from model.checkpoints.control import load_control
from model.checkpoints.denoiser import load_checkpoint
from tests.tiny import save_tiny, tiny_checkpoint, tiny_control, tiny_student
from training.data.digits import CONFIG
from training.exporting.serving_graphs import write_graph
from training.recipe import RecipeError, parse_recipe
from training.tasks.registry import make_task
from training.tasks.task import Batch, LossContext
from training.trainer import train

RECIPE = {
    "role": "control-flow-map",
    "name": "tiny-fast-control",
    "base": "mnist-fast",
    "teacher": "mnist-control-canny",
    "distillation": {"trajectories": 48, "teacher_steps": 1, "label_drop": 0.5, "guidance_range": [1.0, 3.0]},
    "optimisation": {"steps": 30, "batch_size": 16, "learning_rate": 3e-3, "warmup_steps": 2, "ema_decay": 0.9},
    "sampling": {"guidance_scale": 1.5},
}


@pytest.fixture(scope="module")
def checkpoints(mnist_files, tmp_path_factory):
    """A teacher, its ControlNet and its student."""
    folder = tmp_path_factory.mktemp("checkpoints")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        teacher = tiny_checkpoint(CONFIG)
        student = tiny_student(CONFIG)
        beside = (tiny_control(student, name="mnist-fast-control"), tiny_control(teacher, "inpainting"))
        for one in (teacher, tiny_control(teacher), student, *beside):
            save_checkpoint(folder / one.config.name, one.config, one.network)
        yield folder


def task_of(checkpoints, **changed):
    return make_task(parse_recipe(RECIPE | changed, "here"), checkpoints)


def loss_of(task, network) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    batch = Batch(*task.data.draw(32, generator))
    return task.loss(batch, LossContext(network, network, 0, generator))


def test_it_begins_as_its_teacher_s_controlnet_and_reads_scale_and_s_as_its_student(checkpoints):
    network = task_of(checkpoints).network.state_dict()
    teacher = load_control(checkpoints / "mnist-control-canny").network.state_dict()
    student = load_checkpoint(checkpoints / "mnist-fast").network.state_dict()
    own = network.keys() - teacher.keys()
    assert own == {f"embedding.{name}.weight" for name in ("guidance", "arrival")}
    assert all(torch.equal(network[name], (student if name in own else teacher)[name]) for name in network)


def test_it_alone_learns_and_its_graph_gives_what_it_gives(checkpoints, tmp_path):
    task = task_of(checkpoints)
    before, student = loss_of(task, task.network).item(), load_checkpoint(checkpoints / "mnist-fast")
    average = train(task, tmp_path, Accelerator())
    assert loss_of(task, average).item() < 0.9 * before
    locked = task.base.network.state_dict()
    assert all(torch.equal(weight, locked[name]) for name, weight in student.network.state_dict().items())

    folder = tmp_path / "tiny-fast-control"
    task.save(average, folder)
    write_graph(folder, "control")
    control = load_control(folder)
    assert control.config.jumps and control.fits(student)
    assert "`auto` is mnist-control-canny, as long as nothing has been compared" in (folder / "README.md").read_text()
    rows = example_rows(control, 5)
    assert len(rows) == 6  # x, t, label, scale, s, hint
    with torch.inference_mode():
        expected = torch_row_function(control)(*rows)
    by_graph = onnx_row_function(control, threads=1)
    found = by_graph(*rows)
    for own, reference in zip(found, expected, strict=True):
        torch.testing.assert_close(own, reference, rtol=1e-3, atol=1e-4)
    elsewhere = by_graph(*rows[:4], torch.zeros_like(rows[4]), rows[5])
    assert any(not torch.equal(*pair) for pair in zip(found, elsewhere, strict=True))


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"base": "mnist-tiny"}, 'mnist-tiny is no few-step student; the role "control" is for it'),
        ({"sampling": {"guidance_scale": 7.0}}, "sampling.guidance_scale: 1 … 3, the scales that it learns"),
        ({"sampling": {"guidance_scale": 1.5, "steps": 4}}, "steps and sampler are the student's: leave them away"),
        (
            {"distillation": {"guidance_range": [1.0, 2.0]}},
            "guidance_range = [1.0, 3.0], guidance_interval = left",
        ),
        (
            {"distillation": {"guidance_range": [1.0, 3.0], "teacher_steps": 13}},
            "teacher: mnist-tiny has T = 50: it cannot take 52 steps",
        ),
        ({"teacher": "mnist-control-inpainting"}, "mnist-control-inpainting is for masks, which no student takes"),
        ({"teacher": "mnist-tiny"}, "teacher: mnist-tiny: its role is denoiser, and a control is wanted here"),
        (
            {"teacher": "mnist-fast-control"},
            "teacher: mnist-fast-control is for mnist-fast, and mnist-fast learned from",
        ),
        ({"teacher": "nothing"}, "teacher: nothing: cannot read config.json"),
    ],
)
def test_what_cannot_be_is_named(checkpoints, changed, says):
    with pytest.raises(RecipeError) as refused:
        task_of(checkpoints, **changed)
    assert says in str(refused.value)


def test_a_teacher_with_other_weights_is_refused(checkpoints, tmp_path):
    for name in ("mnist-fast", "mnist-control-canny"):
        (tmp_path / name).symlink_to(checkpoints / name)
    save_tiny(tmp_path, CONFIG, learned_variance=True)
    with pytest.raises(RecipeError, match="mnist-control-canny is for mnist-tiny"):
        task_of(tmp_path)
