"""ControlNets: hints for training, training, measurement."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from model.checkpoints.base import save_checkpoint
from model.checkpoints.config import load_config
from model.checkpoints.control import ControlConfig, load_control
from model.checkpoints.denoiser import load_checkpoint
from model.hints import INK, edges, strokes
from tests.tiny import IMAGES, POINTS, save_tiny, tiny_student
from training.__main__ import app
from training.data.digits import CONFIG, mnist
from training.data.drawings import drawings
from training.data.hinted_images import HintedImages, rough
from training.data.training_set import Examples, FiniteSet
from training.evaluate.command import evaluate_checkpoint
from training.evaluate.sampling_run import SamplingRun
from training.metrics.hint_agreement import agreement, another_of_the_class, f1
from training.metrics.image_reference import ImageReference, Judged
from training.recipe import RecipeError
from training.tasks.task import Batch, LossContext

CPU = torch.device("cpu")
RECIPE = """
role = "control"
name = "tiny-control"
description = "Follows edges"
base = "%(base)s"
hint = "%(hint)s"

[optimisation]
steps = 60
batch_size = 16
learning_rate = 3e-3
warmup_steps = 5
ema_decay = 0.9
sample_every = 1000
"""


@pytest.fixture(scope="module")
def few(mnist_files) -> Examples:
    test = mnist(train=False)
    return Examples(test.rows[:40], test.labels[:40])


def test_agreement_is_1_for_itself_near_for_neighbours_and_0_for_nothing():
    line = np.zeros((28, 28), bool)
    line[5:20, 10] = True
    assert f1(line, line) == 1.0
    assert f1(np.roll(line, 1, axis=1), line) == 1.0  # within one pixel
    assert f1(np.roll(line, 2, axis=1), line) == 0.0
    half = line.copy()
    half[12:] = False
    precision, recall = 1.0, 8 / 15  # rows 5 … 12 have one within a pixel
    assert f1(half, line) == pytest.approx(2 * precision * recall / (precision + recall))
    assert f1(np.zeros_like(line), line) == f1(line, np.zeros_like(line)) == 0.0


@pytest.mark.parametrize("kind", ["canny", "sketch"])
def test_a_real_image_agrees_with_its_hint_and_less_with_another_s_of_its_class(few, kind):
    of_image = {"canny": edges, "sketch": strokes}[kind]
    hints = torch.from_numpy(np.stack([of_image(image) for image in few.rows[:, 0].numpy()])).unsqueeze(1)
    assert agreement(few.rows, hints, kind) == 1.0
    others = hints[another_of_the_class(few.labels.numpy())]
    assert 0.2 < agreement(few.rows, others, kind) < 0.8


def test_another_of_the_class_is_of_the_class_and_another():
    labels = np.array([3, 1, 3, 1, 1, 7])
    other = another_of_the_class(labels)
    assert (labels[other] == labels).all()
    assert (other != np.arange(6)).tolist() == [True] * 5 + [False]


def test_rough_strokes_are_the_clean_ones_moved_a_little_and_broken(few):
    clean = torch.from_numpy(np.stack([strokes(image) for image in few.rows[:, 0].numpy()])).unsqueeze(1)
    drawn = rough(clean, torch.Generator().manual_seed(0))
    assert drawn.min() >= 0 and drawn.max() <= 1
    ink = (drawn >= INK).flatten(1).sum(1).float()
    assert (ink > 0).all()
    near = np.mean([f1(*(one[0].numpy() >= INK for one in pair)) for pair in zip(drawn, clean, strict=True)])
    assert 0.6 < near < 0.98
    again = rough(clean, torch.Generator().manual_seed(0))
    assert torch.equal(drawn, again) and not torch.equal(drawn, rough(clean, torch.Generator().manual_seed(1)))
    gone = ((clean > 0.9) & (drawn == 0)).flatten(1).any(1)
    assert 0.4 < gone.float().mean() < 1  # most, not all, have a gap somewhere


@pytest.mark.parametrize("kind", ["canny", "sketch"])
def test_rows_come_with_hints_of_their_own(few, kind):
    data = HintedImages(FiniteSet(CONFIG, few, few), kind)
    rows, labels = data.draw(16, torch.Generator().manual_seed(0))
    assert rows.shape == (16, 2, 28, 28) and len(labels) == 16
    for image, hint in rows:
        assert (few.rows[:, 0] == image).flatten(1).all(1).any()
        of_image = {"canny": edges, "sketch": strokes}[kind](image.numpy())
        assert f1(hint.numpy() >= INK, of_image >= INK) > 0.3
    assert torch.equal(data.draw(16, torch.Generator().manual_seed(0))[0], rows)


def test_forty_drawings_four_of_each_digit():
    found = drawings()
    assert [one.digit for one in found] == [digit for digit in range(10) for _ in range(4)]
    assert len({one.picture.tobytes() for one in found}) == 40
    assert all(one.picture.max() == 255 and one.picture.min() == 0 for one in found)


def train(folder, *arguments: str, base: str = "mnist-base", hint: str = "canny"):
    (folder / "tiny.toml").write_text(RECIPE % {"base": base, "hint": hint})
    folders = ["--checkpoints", str(folder / "checkpoints"), "--runs", str(folder / "runs"), "--no-evaluate"]
    return CliRunner().invoke(app, ["train", str(folder / "tiny.toml"), "--no-graph", *folders, *arguments])


@pytest.fixture(scope="module")
def trained(mnist_files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("control")
    save_tiny(folder / "checkpoints", CONFIG, name="mnist-base")
    result = train(folder)
    assert result.exit_code == 0, result.exception
    return folder


def test_what_is_trained_fits_its_base_and_learns(trained):
    control = load_control(trained / "checkpoints" / "tiny-control")
    assert control.fits(load_checkpoint(trained / "checkpoints" / "mnist-base"))
    assert control.config.hint == "canny"
    assert all(give.weight.abs().max() > 0 for give in control.network.give)
    picture = Image.open(next((trained / "runs" / "tiny-control" / "samples").glob("*.png")))
    assert picture.size == (16 * 30 + 2, 4 * 30 + 2)


def test_more_steps_than_its_base_has_are_refused_before_any_training(trained):
    from training.recipe import load_recipe
    from training.tasks.control import ControlTask

    many = trained / "many.toml"
    many.write_text((trained / "tiny.toml").read_text() + "\n[sampling]\nsteps = 51\n")
    with pytest.raises(RecipeError, match=r"tiny-control: sampling\.steps is at most T = 50 of mnist-base"):
        ControlTask(load_recipe(str(many)), trained / "checkpoints" / "mnist-base")


def test_the_loss_falls(trained):
    """By more than a run that begins with what was learned could still do."""
    from training.recipe import load_recipe
    from training.tasks.control import ControlTask

    task = ControlTask(load_recipe(str(trained / "tiny.toml")), trained / "checkpoints" / "mnist-base")

    def loss(network) -> float:
        generator = torch.Generator().manual_seed(5)
        rows, labels = task.data.draw(256, generator)
        with torch.no_grad():
            return task.loss(Batch(rows, labels), LossContext(network, network, 0, generator)).item()

    assert loss(load_control(trained / "checkpoints" / "tiny-control").network) < 0.95 * loss(task.network)


def test_the_base_is_locked(trained):
    """It lends its loss; a step moves what is beside it and nothing of it."""
    from training.recipe import load_recipe
    from training.tasks.control import ControlTask

    task = ControlTask(load_recipe(str(trained / "tiny.toml")), trained / "checkpoints" / "mnist-base")
    networks = {"base": task.base.network, "control": task.network}
    before = {name: [of.clone() for of in network.parameters()] for name, network in networks.items()}
    generator = torch.Generator().manual_seed(5)
    batch = Batch(*task.data.draw(8, generator))
    task.loss(batch, LossContext(task.network, task.network, 0, generator)).backward()
    everything = [parameter for network in networks.values() for parameter in network.parameters()]
    torch.optim.SGD(everything, lr=1.0).step()
    moved = {
        name: any(not torch.equal(was, now) for was, now in zip(before[name], network.parameters(), strict=True))
        for name, network in networks.items()
    }
    assert moved == {"base": False, "control": True}
    assert all(parameter.grad is None for parameter in task.base.network.parameters())


def test_it_is_measured_and_its_card_tells(trained, monkeypatch, capsys):
    monkeypatch.setattr(
        "training.evaluate.command.control.image_reference",
        lambda _, data, __: ImageReference(data, Judged(_Sevens(), None, None, None)),
    )
    folder = trained / "checkpoints" / "tiny-control"
    metrics = evaluate_checkpoint(folder, trained / "checkpoints", SamplingRun(CPU), samples=20)
    assert "evaluating tiny-control: 20 hints …" in capsys.readouterr().err
    assert metrics["agreement_ceiling"] == 1.0
    assert 0 <= metrics["agreement_floor"] <= 1 and metrics["base"] == "mnist-base"
    # The judge of this test sees a seven everywhere.
    shown = mnist(train=False).some(20)
    assert metrics["label_accuracy"] == pytest.approx((shown.labels == 7).double().mean().item())
    assert metrics["drawings"] == 0.1
    assert load_config(folder, ControlConfig).metrics["measured"] == json.loads(json.dumps(metrics))
    card = (folder / "README.md").read_text()
    assert "| agreement ceiling | 1.0 |" in card and "](followed.png)" in card and "mnist-base" in card
    assert Image.open(folder / "followed.png").size == (20 * 30 + 2, 8 * 30 + 2)
    before = (folder / "config.json").read_bytes()
    changed = {"steps": 3, "guidance_scale": 2.5}
    otherwise = evaluate_checkpoint(folder, trained / "checkpoints", SamplingRun(CPU), samples=10, changed=changed)
    assert (metrics["guidance_scale"], metrics["guidance_scale_alone"]) == (1.5, 1.0)  # of the base, of the ControlNet
    assert {name: otherwise[name] for name in (*changed, "guidance_scale_alone")} == changed | {
        "guidance_scale_alone": 2.5
    }
    assert (folder / "config.json").read_bytes() == before


class _Sevens:
    """A judge that sees sevens."""

    key = "0" * 64

    class config:
        name = "sevens"

    @staticmethod
    def look(images):
        return torch.zeros(len(images), 4), torch.full((len(images),), 7)


@pytest.mark.parametrize(
    ("base", "data", "says"),
    [
        ("mnist-points", POINTS, "is no UNet"),
        ("mnist-missing", None, "cannot read config.json"),
        ("other-images", IMAGES.model_copy(update={"dataset": "letters"}), "does not say what data it was trained on"),
    ],
)
def test_a_base_that_cannot_be_is_named(tmp_path, base, data, says):
    if data is not None:
        save_tiny(tmp_path / "checkpoints", data, name=base)
    result = train(tmp_path, base=base)
    assert isinstance(result.exception, RecipeError) and says in str(result.exception)


def test_a_few_step_student_is_no_base(tmp_path):
    student = tiny_student(IMAGES)
    save_checkpoint(tmp_path / "checkpoints" / "mnist-fast", student.config, student.network)
    result = train(tmp_path, base="mnist-fast")
    assert isinstance(result.exception, RecipeError) and "use its teacher, mnist-tiny" in str(result.exception)


def test_another_base_than_it_was_trained_beside_is_refused(trained, tmp_path):
    save_tiny(tmp_path, CONFIG.model_copy(update={"labels": ()}), name="mnist-base")
    with pytest.raises(RecipeError, match="beside other weights of mnist-base"):
        evaluate_checkpoint(trained / "checkpoints" / "tiny-control", tmp_path, SamplingRun(CPU))
