"""The real points that are kept beside a checkpoint of points."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from model.checkpoints.base import save_checkpoint
from model.checkpoints.config import load_config
from model.checkpoints.denoiser import DenoiserConfig, load_checkpoint
from model.checkpoints.reference_points import MAX_REFERENCE, REFERENCE, Reference, load_reference, save_reference
from model.checkpoints.weights import CheckpointError
from model.conditions import NO_LABEL
from tests.tiny import IMAGES, POINTS, save_tiny, tiny_checkpoint
from training.data import trained_on
from training.data.data_section import section_of
from training.data.synthetic_points import Spiral
from training.data.training_set import Examples, FiniteSet
from training.recipe import RecipeError, load_recipe
from training.reference_points import keep_reference, reference_of
from training.tasks.denoiser import DenoisingTask

PROJECT = Path(__file__).parents[3]


def test_a_checkpoint_gives_back_what_was_kept(tmp_path):
    made = tiny_checkpoint(POINTS)
    kept = Reference(torch.randn(5, 2), torch.arange(5) % 2)
    save_checkpoint(tmp_path, made.config, made.network, reference=kept)
    loaded = load_checkpoint(tmp_path).reference
    assert torch.equal(loaded.points, kept.points) and torch.equal(loaded.labels, kept.labels)


def test_a_checkpoint_needs_none(tmp_path):
    assert load_checkpoint(save_tiny(tmp_path, POINTS)).reference is None


LABELS = torch.zeros(3, dtype=torch.int64)


@pytest.mark.parametrize("tensors", [
    {"points": torch.zeros(3, 3), "labels": LABELS},  # of other data
    {"points": torch.zeros(2, 2), "labels": LABELS},
    {"points": torch.zeros(3, 2)},
    {"points": torch.zeros(3, 2), "labels": LABELS.float()},
    {"points": torch.zeros(3, 2).double(), "labels": LABELS},
    {"points": torch.zeros(3, 2), "labels": LABELS, "more": LABELS.clone()},
    {"points": torch.full((3, 2), torch.nan), "labels": LABELS},
    {"points": torch.zeros(0, 2), "labels": LABELS[:0]},
    {"points": torch.zeros(3, 2), "labels": torch.zeros(3, 3, dtype=torch.int64)},
    {"points": torch.zeros(3, 2), "labels": LABELS + 2},
    {"points": torch.zeros(3, 2), "labels": LABELS - 2},
    {"points": torch.zeros(MAX_REFERENCE + 1, 2), "labels": torch.zeros(MAX_REFERENCE + 1, dtype=torch.int64)},
], ids=["dimensions", "rows", "no labels", "labels", "precision", "more", "nan", "none", "a table", "no class",
        "below none", "too many"])  # fmt: skip
def test_what_cannot_be_is_refused(tmp_path, tensors):
    folder = save_tiny(tmp_path, POINTS)
    save_file(tensors, folder / REFERENCE)
    with pytest.raises(CheckpointError, match=REFERENCE):
        load_checkpoint(folder)


def test_so_is_a_broken_file_and_one_beside_images(tmp_path):
    (save_tiny(tmp_path, POINTS) / REFERENCE).write_bytes(b"no tensors")
    with pytest.raises(CheckpointError, match=REFERENCE):
        load_checkpoint(tmp_path / "spiral-tiny")
    save_reference(save_tiny(tmp_path, IMAGES), Reference(torch.zeros(3, 2), LABELS))
    with pytest.raises(CheckpointError, match=REFERENCE):
        load_checkpoint(tmp_path / "mnist-tiny")


def test_training_keeps_some_of_what_it_draws_from(tmp_path):
    task = DenoisingTask(load_recipe("spiral-cfg"))
    task.save(task.config.build_network(), tmp_path)
    kept = load_checkpoint(tmp_path).reference
    assert len(kept.labels) == MAX_REFERENCE
    # They lie on the curve, each on the turn that its label says.
    points, turns = Spiral().draw(50_000, torch.Generator().manual_seed(9))
    distances, nearest = torch.cdist(kept.points, points).min(1)
    assert distances.max() < 0.02 and (turns[nearest] == kept.labels).float().mean() > 0.99


def own_task(table: Path) -> DenoisingTask:
    """Of rows that are somebody's own."""
    table.write_text("x,y\n" + "\n".join(f"{i % 10},{i // 10}" for i in range(100)))
    recipe = load_recipe("spiral-ddpm")
    section = section_of({"dataset": "own", "table": str(table)})
    return DenoisingTask(recipe.model_copy(update={"data": section}))


def test_ones_own_rows_are_kept_only_when_that_was_asked_for(tmp_path):
    task = own_task(tmp_path / "own.csv")
    network = task.config.build_network()
    task.save(network, tmp_path / "made")
    assert load_checkpoint(tmp_path / "made").reference is None
    count = keep_reference(tmp_path / "made")
    kept = load_checkpoint(tmp_path / "made").reference
    assert count == len(kept.labels) == len(task.data.examples)
    assert set(map(tuple, kept.points.tolist())) == set(map(tuple, task.data.examples.rows.tolist()))
    # From then on they are kept up to date.
    save_reference(tmp_path / "made", Reference(torch.zeros(1, 2), LABELS[:1]))
    task.save(network, tmp_path / "made")
    assert len(load_checkpoint(tmp_path / "made").reference.labels) == count


def test_of_what_is_no_denoiser_of_points_none_can_be_kept(tmp_path):
    for name in ("mnist-judge", "spiral-classifier"):
        with pytest.raises(RecipeError, match="no denoiser of points"):
            keep_reference(PROJECT / "checkpoints" / name)
    with pytest.raises(RecipeError, match="no denoiser of points"):
        keep_reference(save_tiny(tmp_path, IMAGES))


@pytest.mark.parametrize("name", ["gaussian-cfg", "gaussian-ddpm", "spiral-cfg", "spiral-ddpm"])
def test_the_shipped_ones_are_what_would_be_kept_today(name):
    folder = PROJECT / "checkpoints" / name
    again = reference_of(trained_on(load_config(folder, DenoiserConfig)))
    kept = load_checkpoint(folder).reference
    torch.testing.assert_close(kept.points, again.points)
    assert torch.equal(kept.labels, again.labels)


def test_points_far_from_zero_keep_their_digits(tmp_path):
    data = POINTS.model_copy(update={"dataset": "times", "mean": (1.7e12, 0.0), "std": (1e6, 1.0), "labels": ()})
    rows = torch.tensor([[1701110396605.0, 0.5], [1701110396606.0, -0.5]], dtype=torch.float64)
    folder = save_tiny(tmp_path, data)
    real = Examples(rows, torch.full((2,), NO_LABEL))
    save_reference(folder, reference_of(FiniteSet(data, real, real)))
    assert load_reference(folder, data).points.tolist() == rows.tolist()
