"""Which rows count as copies is what memorisation measures, and a folder keeps it."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from model.checkpoints.base import save_checkpoint
from model.checkpoints.training_rows import TRAINING_ROWS, TrainingRows, load_training_rows, save_training_rows
from model.checkpoints.weights import CheckpointError
from model.data import DataConfig
from tests.tiny import IMAGES, POINTS, save_tiny, tiny_checkpoint, tiny_classifier
from training.__main__ import app
from training.data.synthetic_points import GaussianMixture
from training.data.training_set import DataError, Examples, FiniteSet
from training.metrics.memorisation import memorisation
from training.training_rows import training_rows_of

DATA = DataConfig(dataset="own", kind="images", shape=(1, 4, 4), mean=(127.5,), std=(127.5,), clip=1.0)


def own(held_out: torch.Tensor | None = None) -> FiniteSet:
    draw = torch.Generator().manual_seed(0)
    rows = torch.randint(0, 256, (300, *DATA.shape), generator=draw, dtype=torch.uint8)
    held_out = rows[200:] if held_out is None else held_out
    labels = torch.zeros(300, dtype=torch.int64)
    return FiniteSet(DATA, Examples(rows[:200], labels[:200]), Examples(held_out, labels[: len(held_out)]))


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_threshold_is_the_one_that_memorisation_measures(mirrored):
    data = own()
    kept = training_rows_of(data, with_mirrored=mirrored)
    metrics = memorisation(data.held_out.rows, data, mirrored=mirrored).metrics
    assert kept.threshold == pytest.approx(metrics["nearest_training_of_real_first_percentile"], rel=1e-3)
    copies = torch.cat([data.examples.rows[:5], data.examples.rows[:5].flip(-1), data.held_out.rows[:90]])
    distinct = kept.distinct(copies, DATA)
    assert not distinct[:5].any() and bool(distinct[5:10].any()) is not mirrored and distinct[10:].sum() >= 88


def test_unlabelled_rows_are_training_rows_too():
    data = own()
    unlabelled = torch.randint(0, 256, (50, *DATA.shape), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    data = replace(data, unlabelled=unlabelled)
    kept = training_rows_of(data)
    assert len(kept.rows) == memorisation(data.held_out.rows, data).metrics["trained_on"] == 250
    assert not kept.distinct(unlabelled, DATA).any()


def test_held_out_rows_that_are_training_rows_give_no_threshold():
    with pytest.raises(DataError, match="are training rows, too"):
        training_rows_of(own(held_out=own().examples.rows[:50]))
    with pytest.raises(DataError, match="made afresh"):
        training_rows_of(GaussianMixture())


@pytest.mark.parametrize(
    "rows", [torch.zeros(3, 1, 8, 8, dtype=torch.uint8), torch.rand(3, 2), torch.rand(3, 2).double()]
)
def test_a_folder_keeps_them_until_it_is_trained_anew(tmp_path, rows):
    data = IMAGES if rows.dim() == 4 else POINTS
    folder = save_tiny(tmp_path, data)
    assert load_training_rows(folder, data) is None
    save_training_rows(folder, TrainingRows(rows, 0.25))
    found = load_training_rows(folder, data)
    assert torch.equal(found.rows, rows) and found.threshold == 0.25
    assert found.key == TrainingRows(rows, 0.25).key != TrainingRows(rows, 0.5).key
    checkpoint = tiny_checkpoint(data)
    save_checkpoint(folder, checkpoint.config, checkpoint.network)
    assert load_training_rows(folder, data) is None


@pytest.mark.parametrize(
    "tensors",
    [
        {"rows": torch.zeros(3, 2)},
        {"rows": torch.zeros(3, 3), "threshold": torch.ones(1)},
        {"rows": torch.zeros(0, 2), "threshold": torch.ones(1)},
        {"rows": torch.zeros(3, 2), "threshold": torch.zeros(1)},
        {"rows": torch.zeros(3, 2, dtype=torch.uint8), "threshold": torch.ones(1)},
    ],
)
def test_a_broken_file_is_named(tmp_path, tensors):
    folder = save_tiny(tmp_path, POINTS)
    save_file(tensors, folder / TRAINING_ROWS)
    with pytest.raises(CheckpointError, match=TRAINING_ROWS):
        load_training_rows(folder, POINTS)


def test_what_has_no_training_rows_is_told(tmp_path):
    save_tiny(tmp_path, POINTS)
    classifier = tiny_classifier(POINTS)
    save_checkpoint(tmp_path / classifier.config.name, classifier.config, classifier.network)
    for name, told in (("spiral-tiny", "made afresh without end"), ("spiral-classifier", "is no denoiser")):
        found = CliRunner().invoke(app, ["training-rows", name, "--checkpoints", str(tmp_path)])
        assert found.exit_code != 0 and told in str(found.exception)
