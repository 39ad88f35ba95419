"""Rows that a judge reads as they were asked for; others are left out of the files."""

from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict

from model.checkpoints.judge import Judge, find_judge, load_judge
from model.checkpoints.weights import CheckpointError
from model.data import DataConfig


class AcceptRule(BaseModel):
    """judge          name of the checkpoint
    key            names its weights
    probability    that it has to give to the asked class
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    judge: str
    key: str
    probability: float


def judge_of(checkpoints: Path, data: DataConfig) -> Judge | None:
    """The judge of such images in the folder of checkpoints; None where there is none."""
    folder = find_judge(checkpoints, data)
    try:
        return None if folder is None else load_judge(folder)
    except CheckpointError:
        return None


def kept_rows(judge: Judge, data: np.ndarray, classes: np.ndarray, probability: float) -> np.ndarray:
    """The indices of the rows that the judge reads as their class with at least that probability.

    data     uint8 [n, H, W] or [n, H, W, 3]
    classes  [n] int64
    """
    images = torch.from_numpy(data if data.ndim == 4 else data[..., None]).permute(0, 3, 1, 2)
    found = judge.probabilities(images)[torch.arange(len(classes)), torch.from_numpy(classes)]
    return np.flatnonzero(found.numpy() >= probability)
