"""Measure a denoiser that a classifier or CLIP guides."""

from dataclasses import replace
from pathlib import Path

from model.checkpoints.clip import ClipCheckpoint
from model.checkpoints.denoiser import load_checkpoint
from model.checkpoints.judge import find_judge
from model.checkpoints.weights import CheckpointError
from training.data import trained_on
from training.evaluate.command.classifier import load_guidance_model, write_metrics
from training.evaluate.command.options import ChangedSettings, announce, count_of, options_of
from training.evaluate.image_evaluation import evaluate_images, evaluate_prompts
from training.evaluate.measurement import Metrics
from training.evaluate.point_evaluation import evaluate_points
from training.evaluate.sampling_run import SamplingRun
from training.generate import Guidance
from training.metrics.image_reference import image_reference
from training.recipe import RecipeError


def evaluate_guided(
    folder: Path,
    guidance_folder: Path,
    checkpoints: Path,
    run: SamplingRun,
    *,
    samples: int | None = None,
    changed: ChangedSettings | None = None,
) -> Metrics:
    """Measure a denoiser guided by a classifier or by CLIP; with nothing in `changed`, also write the guidance model's
    card.

    The guidance model's card may override the denoiser's sampler, steps and scale. `changed["guidance_scale"]` is the
    scale of the gradient.

    Raises RecipeError if the two do not fit, or the settings are impossible.
    """
    try:
        checkpoint, guidance_model = load_checkpoint(folder), load_guidance_model(guidance_folder)
    except CheckpointError as error:
        raise RecipeError(str(error)) from error
    if not guidance_model.fits(checkpoint.config):
        raise RecipeError(f"{guidance_folder.name} was trained on other data or another schedule than {folder.name}")
    options = options_of(checkpoint, changed or {}, run.precision, guidance_model.overrides)
    run = replace(run, guidance=Guidance(guidance_model, options.guidance_scale))
    config, data = checkpoint.config, trained_on(checkpoint.config)
    default = count_of(config, data, guidance_model.conditioning)
    count = samples or default
    announce(f"{folder.name}, guided by {guidance_folder.name}", f"{count:,} samples")
    if config.data.kind == "points":
        metrics, _ = evaluate_points(checkpoint, options, run, samples=count)
    else:
        reference = image_reference(find_judge(checkpoints, config.data), data, run.device)
        if isinstance(guidance_model, ClipCheckpoint):
            metrics, _ = evaluate_prompts(checkpoint, reference, options, run, samples=count, clip=guidance_model)
        else:
            metrics, _ = evaluate_images(checkpoint, reference, options, run, samples=count)
    if not changed and count == default:
        column = f"guiding {folder.name}" + ("" if run.precision == "float32" else f", {run.precision}")
        write_metrics(guidance_folder, guidance_model, {column: metrics})
    return metrics
