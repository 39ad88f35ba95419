"""Real images as the judge sees them: what generated ones are compared with."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from model.weights import CheckpointError
from training.data.digits import mnist
from training.evaluate.judge import Judge, load_judge
from training.recipe import RecipeError


@dataclass(frozen=True, eq=False)
class ImageReference:
    """What generated images are compared with: real ones, as the judge sees them. Made once, used for many."""

    judge: Judge
    label_counts: np.ndarray  # of the training images
    train_features: Tensor
    test_features: Tensor


def image_reference(checkpoints: Path, device: torch.device) -> ImageReference:
    """With the judge that lies beside the checkpoints. Raises RecipeError where there is none."""
    try:
        judge = load_judge(checkpoints / "mnist-judge", device)
    except CheckpointError as error:
        raise RecipeError(str(error)) from error
    train, test = mnist(train=True), mnist(train=False)
    (train_features, _), (test_features, _) = judge.look(train.images), judge.look(test.images)
    return ImageReference(judge, np.bincount(train.labels.numpy()), train_features, test_features)
