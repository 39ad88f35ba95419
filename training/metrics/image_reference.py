"""Real images, and the judge's features of them: generated images are compared with these."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from model.checkpoints.judge import Judge, load_judge
from model.checkpoints.weights import CheckpointError
from training.data import has_changed_since
from training.data.training_set import TrainingSet, finite
from training.recipe import RecipeError


@dataclass(frozen=True, eq=False)
class Judged:
    """A judge and what it sees in real images.

    train_features  [n, features], of the images that were trained on
    test_features   [m, features], of the held-out images
    test_classes    [m] int64, that it reads these as
    """

    judge: Judge
    train_features: Tensor
    test_features: Tensor
    test_classes: Tensor


JUDGED_BY = ("judge", "judge_weights")  # entries of the metrics
WEIGHTS_HASH = 12  # characters of it that tell judges apart


def same_judge(one: Mapping[str, object], other: Mapping[str, object]) -> bool:
    """Were both metrics measured by one judge, or both by none? Older metrics have its name alone."""
    name, weights = JUDGED_BY
    hashes = {metrics[weights] for metrics in (one, other) if weights in metrics}
    return one.get(name) == other.get(name) and len(hashes) <= 1


@dataclass(frozen=True, eq=False)
class ImageReference:
    """Real data that generated images are compared with; `judged` is None if there is no judge of such data."""

    data: TrainingSet
    judged: Judged | None

    @property
    def judged_by(self) -> dict[str, str]:
        """The judge's name and a hash of its weights, as entries of the metrics; empty without a judge."""
        if self.judged is None:
            return {}
        judge = self.judged.judge
        return dict(zip(JUDGED_BY, (judge.config.name, judge.key[:WEIGHTS_HASH]), strict=True))


def image_reference(judge_folder: Path | None, data: TrainingSet, device: torch.device) -> ImageReference:
    """`data` as the judge in that folder sees it; without a judge, `data` alone (see `find_judge`).

    Raises RecipeError if the judge cannot be loaded, or may have learned what is held out.
    """
    if judge_folder is None:
        return ImageReference(data, None)
    try:
        judge = load_judge(judge_folder, device)
    except CheckpointError as error:
        raise RecipeError(str(error)) from error
    if has_changed_since(judge.config, data):
        raise RecipeError(
            f"{data.config.dataset} has changed since {judge.config.name} was trained, which measures it: what is held "
            f"out now may be what it has learned. Train {judge.config.name} again, or put the data back"
        )
    (train, _), (test, classes) = judge.look(finite(data).rows), judge.look(data.held_out.rows)
    return ImageReference(data, Judged(judge, train, test, classes))
