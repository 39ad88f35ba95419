"""Measure a denoiser that a classifier, CLIP or a weak network guides."""

from dataclasses import replace
from pathlib import Path

from model.checkpoints.autoguidance import AutoguidanceCheckpoint, AutoguidanceConfig, load_autoguidance
from model.checkpoints.classifier import ClassifierCheckpoint
from model.checkpoints.clip import ClipCheckpoint
from model.checkpoints.config import MEASURED, read_role
from model.checkpoints.denoiser import load_checkpoint
from model.checkpoints.judge import find_judge
from model.checkpoints.weights import CheckpointError
from training.card import card, pictures
from training.data import trained_on
from training.evaluate.command.card_update import CardUpdate
from training.evaluate.command.classifier import load_guidance_model
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
    """Measure a denoiser guided by a classifier, by CLIP or by a weak network; with nothing in `changed`, also write
    the guidance model's card.

    The guidance model's card may override the denoiser's sampler, steps and scale. `changed["guidance_scale"]` is the
    scale of the gradient, or of autoguidance. The card keeps the measurement with most samples.

    Raises RecipeError if the two do not fit, or the settings are impossible.
    """
    try:
        checkpoint, guidance_model = load_checkpoint(folder), _load(guidance_folder)
    except CheckpointError as error:
        raise RecipeError(str(error)) from error
    if isinstance(guidance_model, AutoguidanceCheckpoint):
        if not guidance_model.fits(checkpoint):
            raise RecipeError(f"{guidance_folder.name} was trained for other weights than {folder.name} has")
    elif not guidance_model.fits(checkpoint.config):
        raise RecipeError(f"{guidance_folder.name} was trained on other data or another schedule than {folder.name}")
    update = CardUpdate(guidance_folder, guidance_model.config)
    options = options_of(checkpoint, changed or {}, run.precision, guidance_model.overrides)
    run = replace(run, guidance=Guidance(guidance_model, options.guidance_scale))
    config, data = checkpoint.config, trained_on(checkpoint.config)
    count = samples or count_of(config, data, guidance_model.conditioning)
    announce(f"{folder.name}, guided by {guidance_folder.name}", f"{count:,} samples")
    if config.data.kind == "points":
        metrics, generated = evaluate_points(checkpoint, data, options, run, samples=count)
    else:
        reference = image_reference(find_judge(checkpoints, config.data), data, run.device)
        if isinstance(guidance_model, ClipCheckpoint):
            clip = guidance_model
            metrics, generated = evaluate_prompts(checkpoint, reference, options, run, samples=count, clip=clip)
        else:
            metrics, generated = evaluate_images(checkpoint, reference, options, run, samples=count)
    if isinstance(guidance_model, AutoguidanceCheckpoint):
        column = MEASURED if run.precision == "float32" else run.precision
    else:
        column = f"guiding {folder.name}" + ("" if run.precision == "float32" else f", {run.precision}")
    if changed or update.has_more(column, metrics):
        return metrics
    written = update.write({column: metrics})
    if isinstance(written, AutoguidanceConfig):
        if column == MEASURED and config.data.kind == "images":
            pictures.save_image_sheet(guidance_folder, written, generated)
        elif column == MEASURED:
            pictures.save_points_picture(guidance_folder, written, data, generated)
    latest = update.now()
    if isinstance(latest, AutoguidanceConfig):
        card.write_autoguidance_card(guidance_folder, latest)
    else:
        card.write_guidance_card(guidance_folder, latest)
    return metrics


def _load(folder: Path) -> ClassifierCheckpoint | ClipCheckpoint | AutoguidanceCheckpoint:
    """Raises CheckpointError, and RecipeError if the checkpoint guides nothing."""
    return load_autoguidance(folder) if read_role(folder) == "autoguidance" else load_guidance_model(folder)
