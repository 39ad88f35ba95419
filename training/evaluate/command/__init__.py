"""`evaluate`: measure a checkpoint folder, and write down what was found."""

from pathlib import Path
from typing import Any

from model.checkpoints.config import read_role
from model.checkpoints.roles import GUIDANCE_MODEL_LOADERS
from model.checkpoints.weights import CheckpointError
from training.evaluate.command.classifier import evaluate_reader
from training.evaluate.command.control import evaluate_control_card
from training.evaluate.command.denoiser import evaluate_denoiser, evaluate_memorisation
from training.evaluate.command.guided import evaluate_guided
from training.evaluate.command.likelihood import evaluate_likelihood
from training.evaluate.measurement import Metrics
from training.evaluate.sampling_run import SamplingRun
from training.recipe import RecipeError

__all__ = ["evaluate_checkpoint", "evaluate_guided", "evaluate_likelihood", "evaluate_memorisation"]


def evaluate_checkpoint(
    folder: Path,
    checkpoints: Path,
    how: SamplingRun,
    *,
    samples: int | None = None,
    changed: dict[str, Any] | None = None,
) -> Metrics:
    """Measure a checkpoint; at its card's own settings (nothing in `changed`) also write config.json and README.md.

    Raises RecipeError where there is no such checkpoint or the settings cannot be.
    """
    try:
        role = read_role(folder)
        if role in ("judge", *GUIDANCE_MODEL_LOADERS):
            if changed or how.precision != "float32" or how.compile:
                raise RecipeError(
                    f"{folder.name} is a {role}: it draws no samples, and is measured in float32, not compiled"
                )
            return evaluate_reader(folder, role, how, samples=samples)
        evaluate = evaluate_control_card if role == "control" else evaluate_denoiser
        return evaluate(folder, checkpoints, how, samples=samples, changed=changed or {})
    except CheckpointError as error:
        raise RecipeError(str(error)) from error
