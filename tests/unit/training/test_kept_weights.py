"""Checkpoints of the way: they are what the average was then, whatever happened to the run since."""

import signal
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

from model.checkpoints.denoiser import load_checkpoint
from tests.unit.training.test_trainer import STEPS, StoppedData, assert_same_bits, tiny_task, weights
from training.kept_weights import KEPT, keep_weights, kept_name
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
        assert checkpoint.config.recipe == whole.recipe | {
            "optimisation": whole.recipe["optimisation"] | {"steps": step}
        }
        assert f"| trained on | {step} steps" in (folder / "README.md").read_text()
    assert task.config is whole


def test_a_run_begins_from_them(tmp_path, averages):
    task = tiny_task()
    train(task, tmp_path, Accelerator(), EVERY)
    assert_same_bits(weights(tiny_task(kept(tmp_path)["tiny-at-40"]).network), averages[40])


def test_where_nothing_can_be_written_the_option_is_named(tmp_path):
    (tmp_path / KEPT).touch()
    task = tiny_task()
    whole = task.config
    with pytest.raises(RecipeError, match=r"tiny-at-20 cannot be written .*: make room, or leave out --keep-every"):
        keep_weights(task, task.network, tmp_path, 20)
    assert task.config is whole


def test_a_name_that_would_be_too_long_is_refused():
    recipe = tiny_task(steps=100).recipe.model_copy(update={"name": "a" * 57})
    assert kept_name(recipe, 20) == "a" * 57 + "-at-020"  # 64 characters
    longer = recipe.model_copy(update={"name": "a" * 58})
    with pytest.raises(RecipeError, match="would be too long a name: give the recipe a shorter one"):
        kept_name(longer, 20)
