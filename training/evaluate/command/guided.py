"""Measure a denoiser that a classifier or CLIP steers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from model.checkpoints.denoiser import load_checkpoint, read_role
from model.checkpoints.roles import GUIDES
from model.checkpoints.weights import CheckpointError
from training.data import trained_on
from training.evaluate.command.classifier import tell_of
from training.evaluate.command.options import announce, count_of, options_of
from training.evaluate.image_evaluation import evaluate_images, evaluate_prompts
from training.evaluate.measurement import Figures
from training.evaluate.point_evaluation import evaluate_points
from training.evaluate.sampling_run import Drawing
from training.generate import Steering
from training.metrics.image_reference import find_judge, image_reference
from training.recipe import RecipeError


def evaluate_steered(
    folder: Path,
    guide: Path,
    checkpoints: Path,
    how: Drawing,
    *,
    samples: int | None = None,
    changed: dict[str, Any] | None = None,
) -> Figures:
    """Measure a checkpoint steered by a classifier or by CLIP; with nothing in `changed`, the card of what steers
    tells of it.

    Sampler, steps and guidance scale are by default what the card of what steers advises, as far as it does;
    `changed["guidance_scale"]` is the gradient's.

    Raises RecipeError where the two do not fit, or the settings cannot be.
    """
    try:
        checkpoint, role = load_checkpoint(folder), read_role(guide)
        if role not in GUIDES:
            raise RecipeError(f"{guide.name} steers nothing: it is no classifier, and no CLIP")
        steers = GUIDES[role](guide)
    except CheckpointError as error:
        raise RecipeError(str(error)) from error
    if not steers.fits(checkpoint.config):
        raise RecipeError(f"{guide.name} was trained on other data or another schedule than {folder.name}")
    advised = steers.advice.model_dump(exclude_none=True)
    options = options_of(checkpoint, advised | (changed or {}), how.precision)
    how = replace(how, steering=Steering(steers, options.guidance_scale))
    config, data = checkpoint.config, trained_on(checkpoint.config)
    count = count_of(config, data, steers.steers)
    announce(f"{folder.name}, steered by {guide.name}", f"{samples or count:,} samples")
    if config.data.kind == "points":
        figures, _ = evaluate_points(checkpoint, options, how, samples=samples or count)
    else:
        reference = image_reference(find_judge(checkpoints, config.data), data, how.device)
        if steers.steers == "text":
            figures, _ = evaluate_prompts(checkpoint, reference, options, how, samples=samples or count, clip=steers)
        else:
            figures, _ = evaluate_images(checkpoint, reference, options, how, samples=samples or count)
    if not changed and samples in (None, count):
        column = f"steering {folder.name}" + ("" if how.precision == "float32" else f", {how.precision}")
        tell_of(guide, steers, {column: figures})
    return figures
