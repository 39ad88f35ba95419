"""Rows that are no copies of training rows; the others are left out of the files."""

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict

from model.checkpoints.denoiser import DenoiserCheckpoint
from model.checkpoints.training_rows import TrainingRows
from model.checkpoints.weights import CheckpointError
from service.http.problems import invalid


class DistinctRule(BaseModel):
    """`key` names the training rows and the threshold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str


def known_training_rows(checkpoint: DenoiserCheckpoint) -> TrainingRows:
    """Raises Problem (422) where the checkpoint keeps none."""
    name = checkpoint.config.name
    try:
        found = checkpoint.training_rows()
    except CheckpointError as error:
        raise invalid("distinct", str(error)) from error
    if found is None:
        remedy = f"`python -m training training-rows {name}` keeps them"
        raise invalid("distinct", f"{name} keeps no training rows that samples could be compared with; {remedy}")
    return found


def distinct_rows(training: TrainingRows, data: np.ndarray, checkpoint: DenoiserCheckpoint) -> np.ndarray:
    """The indices of the rows that are no copies; `data` as `Samples.data` has it."""
    config, rows = checkpoint.config.data, torch.from_numpy(data)
    if config.kind == "images":
        rows = (rows if rows.dim() == 4 else rows[..., None]).permute(0, 3, 1, 2)
    return np.flatnonzero(training.distinct(rows, config).numpy())
