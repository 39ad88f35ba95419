"""`evaluate`: measure a checkpoint in its folder, and write the metrics into its config and model card."""

from pathlib import Path

from model.checkpoints.autoguidance import AutoguidanceConfig
from model.checkpoints.config import load_config, read_role
from model.checkpoints.roles import GUIDANCE_MODEL_LOADERS
from model.checkpoints.weights import CheckpointError
from training.evaluate.command.classifier import evaluate_classifier_card
from training.evaluate.command.control import evaluate_control_card
from training.evaluate.command.denoiser import evaluate_denoiser, evaluate_farthest, evaluate_memorisation
from training.evaluate.command.guided import evaluate_guided
from training.evaluate.command.likelihood import evaluate_likelihood
from training.evaluate.command.options import ChangedSettings
from training.evaluate.measurement import Metrics
from training.evaluate.sampling_run import SamplingRun
from training.recipe import RecipeError

__all__ = [
    "ChangedSettings",
    "evaluate_checkpoint",
    "evaluate_farthest",
    "evaluate_guided",
    "evaluate_likelihood",
    "evaluate_memorisation",
]


def evaluate_checkpoint(
    folder: Path,
    checkpoints: Path,
    run: SamplingRun,
    *,
    samples: int | None = None,
    changed: ChangedSettings | None = None,
) -> Metrics:
    """Measure a checkpoint; at its card's own settings (nothing in `changed`) also write config.json and README.md.

    checkpoints  the folder in which a judge, a CLIP or a ControlNet's base is found
    samples      default: as many as suit the data, see `count_of`

    Raises RecipeError if there is no such checkpoint or the settings are impossible.
    """
    try:
        role = read_role(folder)
        if role in ("judge", *GUIDANCE_MODEL_LOADERS):
            if changed or run.precision != "float32" or run.compile:
                raise RecipeError(
                    f"{folder.name} is a {role}: it draws no samples, and is measured in float32, not compiled"
                )
            return evaluate_classifier_card(folder, role, run, samples=samples)
        if role == "autoguidance":
            base = checkpoints / load_config(folder, AutoguidanceConfig).base.name
            return evaluate_guided(base, folder, checkpoints, run, samples=samples, changed=changed)
        evaluate = evaluate_control_card if role == "control" else evaluate_denoiser
        return evaluate(folder, checkpoints, run, samples=samples, changed=changed or {})
    except CheckpointError as error:
        raise RecipeError(str(error)) from error
