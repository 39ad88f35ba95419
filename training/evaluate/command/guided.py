"""Measure a denoiser that a classifier or CLIP steers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from model.checkpoints.config import read_role
from model.checkpoints.denoiser import load_checkpoint
from model.checkpoints.roles import GUIDANCE_MODEL_LOADERS
from model.checkpoints.weights import CheckpointError
from training.data import trained_on
from training.evaluate.command.classifier import write_metrics
from training.evaluate.command.options import announce, count_of, options_of
from training.evaluate.image_evaluation import evaluate_images, evaluate_prompts
from training.evaluate.measurement import Metrics
from training.evaluate.point_evaluation import evaluate_points
from training.evaluate.sampling_run import SamplingRun
from training.generate import Guidance
from training.metrics.image_reference import find_judge, image_reference
from training.recipe import RecipeError


def evaluate_guided(
    folder: Path,
    guidance_model: Path,
    checkpoints: Path,
    how: SamplingRun,
    *,
    samples: int | None = None,
    changed: dict[str, Any] | None = None,
) -> Metrics:
    """Measure a checkpoint steered by a classifier or by CLIP; with nothing in `changed`, the card of what steers
    tells of it.

    Sampler, steps and guidance scale are by default what the card of what steers advises, as far as it does;
    `changed["guidance_scale"]` is the gradient's.

    Raises RecipeError where the two do not fit, or the settings cannot be.
    """
    try:
        checkpoint, role = load_checkpoint(folder), read_role(guidance_model)
        if role not in GUIDANCE_MODEL_LOADERS:
            raise RecipeError(f"{guidance_model.name} steers nothing: it is no classifier, and no CLIP")
        loaded = GUIDANCE_MODEL_LOADERS[role](guidance_model)
    except CheckpointError as error:
        raise RecipeError(str(error)) from error
    if not loaded.fits(checkpoint.config):
        raise RecipeError(f"{guidance_model.name} was trained on other data or another schedule than {folder.name}")
    advised = loaded.overrides.model_dump(exclude_none=True)
    options = options_of(checkpoint, advised | (changed or {}), how.precision)
    how = replace(how, guidance=Guidance(loaded, options.guidance_scale))
    config, data = checkpoint.config, trained_on(checkpoint.config)
    count = count_of(config, data, loaded.conditioning)
    announce(f"{folder.name}, steered by {guidance_model.name}", f"{samples or count:,} samples")
    if config.data.kind == "points":
        metrics, _ = evaluate_points(checkpoint, options, how, samples=samples or count)
    else:
        reference = image_reference(find_judge(checkpoints, config.data), data, how.device)
        if loaded.conditioning == "text":
            metrics, _ = evaluate_prompts(checkpoint, reference, options, how, samples=samples or count, clip=loaded)
        else:
            metrics, _ = evaluate_images(checkpoint, reference, options, how, samples=samples or count)
    if not changed and samples in (None, count):
        column = f"steering {folder.name}" + ("" if how.precision == "float32" else f", {how.precision}")
        write_metrics(guidance_model, loaded, {column: metrics})
    return metrics
