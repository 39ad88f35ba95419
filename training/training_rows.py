"""The rows that a checkpoint was trained on, in its folder, so that jobs can leave copies of them out."""

from pathlib import Path

import torch

from model.checkpoints.config import load_config, read_role
from model.checkpoints.denoiser import DenoiserConfig
from model.checkpoints.training_rows import TrainingRows, save_training_rows
from model.checkpoints.weights import CheckpointError
from model.nearest import nearest
from training.data import mirrored, trained_on
from training.data.training_set import DataError, TrainingSet, learned
from training.metrics.memorisation import CHECKED, NEAR
from training.recipe import RecipeError


def training_rows_of(data: TrainingSet, *, with_mirrored: bool = False) -> TrainingRows:
    """The training rows, and the threshold that `training.metrics.memorisation` has: a row is a copy if it is nearer to
    one of them than 99 % of the held-out rows are.

    Raises DataError if the set has no examples, or held-out rows are copies themselves.
    """
    rows = learned(data).rows
    if with_mirrored:
        rows = torch.cat([rows, rows.flip(-1)])
    distance = nearest(data.held_out.some(CHECKED).rows, rows, data.config).distance
    threshold = distance.quantile(NEAR).item()
    if threshold == 0:
        raise DataError(f"{data.config.dataset}: 1 % of the held-out rows and more are training rows, too")
    return TrainingRows(rows, threshold)


def keep_training_rows(folder: Path) -> TrainingRows:
    """Save them into a denoiser's folder.

    Raises RecipeError if it is no denoiser, DataError if its data are missing or made afresh without end.
    """
    try:
        config = load_config(folder, DenoiserConfig) if read_role(folder) == "denoiser" else None
    except CheckpointError as error:
        raise RecipeError(str(error)) from error
    if config is None:
        raise RecipeError(f"{folder.name} is no denoiser: only these have training rows to compare samples with")
    kept = training_rows_of(trained_on(config), with_mirrored=mirrored(config))
    save_training_rows(folder, kept)
    return kept
