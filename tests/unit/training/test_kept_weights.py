"""Checkpoints of the way: they are what the average was then, whatever happened to the run since."""

import signal
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from safetensors import SafetensorError
from typer.testing import CliRunner

from model.checkpoints.denoiser import load_checkpoint
from tests.unit.training.test_trainer import RECIPE, STEPS, StoppedData, assert_same_bits, tiny_task, weights
from training.__main__ import app
from training.kept_weights import KEPT, check_keeping, keep_weights, kept_name
from training.progress import TrainingProgress
from training.recipe import RecipeError
from training.trainer import Interrupted, TrainStep, train

EVERY = 20


@pytest.fixture(scope="module")
def averages() -> dict[int, dict[str, torch.Tensor]]:
    """The averaged weights after these numbers of steps, without the training loop."""
    steps, found = TrainStep(tiny_task(), Accelerator()), {}
    for step in range(STEPS):
        steps.take(step)
        found[step + 1] = weights(steps.average.module)
    return found


def kept(run: Path) -> dict[str, Path]:
    return {folder.name: folder for folder in (run / KEPT).iterdir()}


@pytest.mark.parametrize("stopped_at", [None, EVERY, 31])
def test_they_are_the_average_of_their_step(tmp_path, averages, stopped_at):
    if stopped_at is not None:
        task = tiny_task()
        task.data = StoppedData(stopped_at, signal.SIGTERM)
        with pytest.raises(Interrupted):
            train(task, tmp_path, Accelerator(), EVERY)
    task = tiny_task()
    whole = task.config
    average = train(task, tmp_path, Accelerator(), EVERY)
    assert_same_bits(weights(average), averages[STEPS])
    assert kept(tmp_path).keys() == {"tiny-at-20", "tiny-at-40"}  # the last step's is the checkpoint itself
    for step in (20, 40):
        folder = kept(tmp_path)[f"tiny-at-{step}"]
        checkpoint = load_checkpoint(folder)
        assert_same_bits(weights(checkpoint.network), averages[step])
        assert checkpoint.name == folder.name
        assert checkpoint.config.recipe == whole.recipe | {"kept_at": step}
        card = (folder / "README.md").read_text()
        assert f"| trained on | {step} of {STEPS} steps, {32 * step:,} rows" in card
        assert f"train tiny --keep-every {step}` keeps it" in card
    assert task.config is whole


def test_weights_that_are_not_finite_are_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(TrainingProgress, "due", lambda self: False)
    monkeypatch.setattr(TrainStep, "take", lambda self, step: (torch.tensor(torch.nan), torch.tensor(1.0)))
    with pytest.raises(RecipeError, match=f"not finite at step {EVERY}"):
        train(tiny_task(save_every=1000), tmp_path, Accelerator(), EVERY)
    assert not (tmp_path / KEPT).exists()


def test_a_run_begins_from_them(tmp_path, averages):
    task = tiny_task()
    train(task, tmp_path, Accelerator(), EVERY)
    assert_same_bits(weights(tiny_task(kept(tmp_path)["tiny-at-40"]).network), averages[40])


def test_where_nothing_can_be_written_the_option_is_named(tmp_path, monkeypatch):
    task = tiny_task()
    whole = task.config
    says = (
        "tiny-at-20 cannot be written .*: the last state is whole; make room, or leave out --keep-every, and the same"
    )
    with monkeypatch.context() as patched:
        patched.setattr("model.checkpoints.weights.save_file", _no_room)
        with pytest.raises(RecipeError, match=says):
            keep_weights(task, task.network, tmp_path, 20)
    (tmp_path / "file").mkdir()
    (tmp_path / "file" / KEPT).touch()
    with pytest.raises(RecipeError, match=says):
        keep_weights(task, task.network, tmp_path / "file", 20)
    assert task.config is whole


def _no_room(*given):
    raise SafetensorError("No space left on device")


def test_what_keeps_nothing_or_has_too_long_a_name_is_refused():
    recipe = tiny_task(steps=100).recipe.model_copy(update={"name": "a" * 57})
    check_keeping(recipe, 99)
    assert kept_name(recipe, 20) == "a" * 57 + "-at-020"  # 64 characters
    with pytest.raises(RecipeError, match=r"--keep-every 100: a{57} has 100 steps, .*: give a smaller number"):
        check_keeping(recipe, 100)
    with pytest.raises(RecipeError, match="would be too long a name: give the recipe a shorter one"):
        check_keeping(recipe.model_copy(update={"name": "a" * 58}), 20)


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """What runs `python -m training` in a folder that has the recipe tiny.toml."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.toml").write_text(RECIPE % {"steps": 8, "learning_rate": "1e-3", "save_every": 4})

    def run(*arguments: str):
        return CliRunner().invoke(app, arguments)

    return run


def test_a_run_keeps_them_and_does_not_delete_what_it_begins_from(commands):
    assert commands("train", "tiny.toml", "--no-evaluate", "--keep-every", "3").exit_code == 0
    names = ["tiny-at-3", "tiny-at-6"]
    assert sorted(kept(Path("runs/tiny"))) == names
    begin = ("train", "tiny.toml", "--no-evaluate", "--from", "runs/tiny/kept/tiny-at-3")
    refused = commands(*begin, "--fresh")
    with pytest.raises(
        RecipeError, match=r"it lies in runs/tiny, which is emptied before .*: move it elsewhere, or take"
    ):
        raise refused.exception
    assert sorted(kept(Path("runs/tiny"))) == names
    assert commands(*begin, "--runs", "others").exit_code == 0
    assert commands("train", "tiny.toml", "--no-evaluate", "--fresh").exit_code == 0
    assert not (Path("runs/tiny") / KEPT).exists()


def test_kept_weights_of_a_run_without_a_state_go_when_it_begins_anew(commands):
    before = Path("runs/tiny") / KEPT / "tiny-at-3"
    before.mkdir(parents=True)
    assert commands("train", "tiny.toml", "--no-evaluate").exit_code == 0
    assert not before.exists()


@pytest.mark.parametrize(("has_it", "told"), [(False, 1), (True, 0)])
def test_training_says_that_a_device_without_bfloat16_is_given_float32(commands, monkeypatch, has_it, told):
    monkeypatch.setattr("model.precision.has_bfloat16", lambda device: has_it)
    recipe = Path("tiny.toml")
    recipe.write_text(recipe.read_text() + 'mixed_precision = "bf16"\n')
    result = commands("train", "tiny.toml", "--no-evaluate", "--no-graph")
    assert result.exit_code == 0, result.output
    assert result.output.count("tiny: trained in float32: this CPU has no bfloat16") == told
