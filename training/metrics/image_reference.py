"""Real images as a judge of their data sees them: what generated ones are compared with."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from model.checkpoints.config import load_config, read_role
from model.checkpoints.weights import CheckpointError
from model.data import DataConfig
from training.data.training_set import TrainingSet
from training.metrics.judge import Judge, JudgeConfig, load_judge
from training.recipe import RecipeError


@dataclass(frozen=True, eq=False)
class Judged:
    """A judge, and the features [n, features] that it finds in the real images: those trained on, and held-out ones."""

    judge: Judge
    train_features: Tensor
    test_features: Tensor


@dataclass(frozen=True, eq=False)
class ImageReference:
    """What generated images are compared with; `judged` is None where there is no judge of such data."""

    data: TrainingSet
    judged: Judged | None

    @property
    def judge_name(self) -> dict[str, str]:
        """Who measured, as figures tell it."""
        return {} if self.judged is None else {"judge": self.judged.judge.config.name}


def find_judge(checkpoints: Path, data: DataConfig) -> Path | None:
    """The first folder there that holds a judge of such images, and of their classes if those are known."""
    for folder in sorted(checkpoints.iterdir()) if checkpoints.is_dir() else []:
        if read_role(folder) != "judge":
            continue
        try:
            judges = load_config(folder, JudgeConfig).data
        except CheckpointError:
            continue
        same_images = (judges.dataset, judges.shape) == (data.dataset, data.shape)
        if same_images and data.labels in ((), judges.labels):
            return folder
    return None


def image_reference(judge_in: Path | None, data: TrainingSet, device: torch.device) -> ImageReference:
    """By the judge in that folder, if there is one (see `find_judge`). Raises RecipeError where it is broken."""
    if judge_in is None:
        return ImageReference(data, None)
    try:
        judge = load_judge(judge_in, device)
    except CheckpointError as error:
        raise RecipeError(str(error)) from error
    (train, _), (test, _) = judge.look(data.examples.rows), judge.look(data.held_out.rows)
    return ImageReference(data, Judged(judge, train, test))
