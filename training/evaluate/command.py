"""`evaluate`: measure a checkpoint folder, and write down what was found."""

import math
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from model.checkpoint import (
    Checkpoint,
    Precision,
    SamplingConfig,
    load_checkpoint,
    read_role,
    save_config,
)
from model.clip import ClipCheckpoint
from model.control import load_control
from model.loading import GUIDES
from model.reader import Guide
from model.weights import CheckpointError
from training.evaluate import card
from training.evaluate.clip import retrieval
from training.evaluate.controls import evaluate_control, evaluate_drawings
from training.evaluate.denoisers import POINT_STEPS, evaluate_images, evaluate_points, evaluate_prompts
from training.evaluate.figures import Figures
from training.evaluate.judge import load_judge
from training.evaluate.likelihood import measure_likelihood
from training.evaluate.readers import evaluate_judge, evaluate_reader
from training.evaluate.reference import image_reference
from training.generate import Steering
from training.recipe import RecipeError

IMAGES = 10_000
POINTS = 5_000
PROMPTS = 2_000
CLASSIFIED = 10_000  # rows shown to a classifier at each noise level
LIKELIHOOD_ROWS = 10_000  # over a chain of RESPACED steps …
RESPACED = 50
FULL_CHAIN_ROWS = 1_000  # … and over all T
HINTS = 2_000
HEADLINE = "measured"  # the column of the card at its own settings, in float32
UNCONDITIONAL = "unconditional"  # the column of a conditional model of points at scale 0

# bfloat16 loses nothing where shares that are right differ by less than two standard errors, and Fréchet distances by
# less than this share of float32's.
FRECHET_TOLERANCE = 0.1


def evaluate_checkpoint(
    folder: Path,
    checkpoints: Path,
    device: torch.device,
    *,
    samples: int | None = None,
    changed: dict[str, Any] | None = None,
    precision: Precision = "float32",
    seed: int = 0,
) -> Figures:
    """Measure a checkpoint; at its card's own settings (nothing in `changed`) also write config.json and README.md.

    Raises RecipeError where there is no such checkpoint or the settings cannot be.
    """
    try:
        role = read_role(folder)
        if role == "control":
            return _evaluate_control(
                folder, checkpoints, device, samples=samples, changed=changed or {}, precision=precision, seed=seed
            )
        if role in ("judge", *GUIDES) and (changed or precision != "float32"):
            raise RecipeError(f"{folder.name} is a {role}: it draws no samples, and is measured in float32")
        if role == "judge":
            return _evaluate_judge(folder, device)
        if role in GUIDES:
            return _evaluate_guide(folder, device, samples=samples, seed=seed)
        checkpoint = load_checkpoint(folder)
    except CheckpointError as error:
        raise RecipeError(str(error)) from error
    config = checkpoint.config
    options = _options(checkpoint, changed or {}, precision)
    if precision == "bfloat16" and not changed:
        count = PROMPTS if config.reads == "text" else IMAGES
        _comparable(options, samples or count, seed, config.metrics.get(HEADLINE))
    if config.data.kind == "points":
        figures, shown = evaluate_points(checkpoint, options, samples=samples or POINTS, seed=seed, device=device)
    else:
        measure, count = (evaluate_prompts, PROMPTS) if config.reads == "text" else (evaluate_images, IMAGES)
        figures, images = measure(
            checkpoint,
            image_reference(checkpoints, device),
            options,
            samples=samples or count,
            seed=seed,
            precision=precision,
            device=device,
        )
    column = HEADLINE if precision == "float32" else precision
    # A quick look does not take the place of a measurement that was made with more samples.
    if changed or figures["samples"] < config.metrics.get(column, {}).get("samples", 0):
        return figures

    metrics = dict(config.metrics)
    metrics[column] = figures
    if config.data.kind == "points" and config.data.labels:
        options = options.model_copy(update={"guidance_scale": 0.0})
        metrics[UNCONDITIONAL], _ = evaluate_points(
            checkpoint, options, samples=samples or POINTS, seed=seed, device=device
        )
    precisions = config.precisions
    if precision == "bfloat16":
        loses = not _as_good(figures, metrics[HEADLINE])
        precisions = ("float32",) if loses else ("float32", "bfloat16")
    config = config.model_copy(update={"metrics": metrics, "precisions": precisions})
    save_config(folder, config)
    if config.data.kind == "points":
        card.save_points_picture(folder, config, *shown)
    elif precision == "float32":
        card.save_image_sheet(folder, config, images)
    card.write_denoiser_card(folder, config)
    return figures


def evaluate_steered(
    folder: Path,
    guide: Path,
    checkpoints: Path,
    device: torch.device,
    *,
    samples: int | None = None,
    changed: dict[str, Any] | None = None,
    precision: Precision = "float32",
    seed: int = 0,
) -> Figures:
    """Measure a checkpoint steered by a classifier or by CLIP; with nothing in `changed`, the card of what steers
    tells of it.

    `changed["guidance_scale"]` is the gradient's; by default the one that the card of what steers advises.

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
    options = _options(checkpoint, changed or {}, precision)
    steering = Steering(steers, (changed or {}).get("guidance_scale", steers.default_scale))
    if checkpoint.config.data.kind == "points":
        count = POINTS
        figures, _ = evaluate_points(
            checkpoint, options, samples=samples or count, seed=seed, device=device, steering=steering
        )
    else:
        measure, count = (evaluate_prompts, PROMPTS) if steers.steers == "text" else (evaluate_images, IMAGES)
        figures, _ = measure(
            checkpoint,
            image_reference(checkpoints, device),
            options,
            samples=samples or count,
            seed=seed,
            precision=precision,
            device=device,
            steering=steering,
        )
    if not changed and figures["samples"] == count:
        _tell(guide, steers, {f"steering {folder.name}": figures})
    return figures


def _tell(folder: Path, guide: Guide, columns: dict[str, Figures]) -> None:
    """Write figures into the config and the card of what steers."""
    config = guide.config.model_copy(update={"metrics": guide.metrics | columns})
    save_config(folder, config)
    card.write_guide_card(folder, config)


def _options(checkpoint: Checkpoint, changed: dict[str, Any], precision: Precision) -> SamplingConfig:
    """The card's own settings but for what is changed. Raises RecipeError where they cannot be."""
    config = checkpoint.config
    points = config.data.kind == "points"
    own = config.sampling.model_dump() | ({"steps": POINT_STEPS} if points else {})
    try:
        options = SamplingConfig(**(own | changed))
    except ValidationError as error:
        raise RecipeError("; ".join(f"{e['loc'][0]}: {e['msg']}" for e in error.errors())) from error
    if options.steps > checkpoint.schedule.T:
        raise RecipeError(f"steps: at most T = {checkpoint.schedule.T}")
    if points and precision != "float32":
        raise RecipeError("precision: points are measured and served in float32")
    return options


def evaluate_likelihood(
    folder: Path, device: torch.device, *, samples: int | None = None, precision: Precision = "float32", seed: int = 0
) -> dict[str, Figures]:
    """Bits per dimension over a respaced and over the full chain; into config.json and the card but for a quick look.

    Raises RecipeError where there is no such checkpoint.
    """
    try:
        checkpoint = load_checkpoint(folder)
    except CheckpointError as error:
        raise RecipeError(str(error)) from error
    chains = {min(RESPACED, checkpoint.schedule.T): LIKELIHOOD_ROWS, checkpoint.schedule.T: FULL_CHAIN_ROWS}
    found, columns = {}, {}
    for steps, rows in chains.items():
        found[steps] = measure_likelihood(
            checkpoint, steps, rows=min(rows, samples or rows), seed=seed, precision=precision, device=device
        )
        columns[f"likelihood, {steps} steps"] = found[steps].figures
    if samples is None:
        config = checkpoint.config.model_copy(update={"metrics": checkpoint.config.metrics | columns})
        save_config(folder, config)
        card.save_likelihood_picture(folder, config, found)
        card.write_denoiser_card(folder, config)
    return columns


def _evaluate_judge(folder: Path, device: torch.device) -> Figures:
    judge = load_judge(folder, device)
    figures = evaluate_judge(judge)
    config = judge.config.model_copy(update={"metrics": {HEADLINE: figures}})
    save_config(folder, config)
    card.write_judge_card(folder, config)
    return figures


def _evaluate_guide(folder: Path, device: torch.device, *, samples: int | None, seed: int) -> Figures:
    guide = GUIDES[read_role(folder)](folder)
    figures, timesteps, accuracy = evaluate_reader(guide, samples=samples or CLASSIFIED, seed=seed, device=device)
    if isinstance(guide, ClipCheckpoint):
        figures |= retrieval(guide.clip(device), guide, seed=seed)
    if samples is None:
        card.save_accuracy_picture(folder, guide.config, timesteps, accuracy)
        _tell(folder, guide, {HEADLINE: figures})
    return figures


def _evaluate_control(
    folder: Path,
    checkpoints: Path,
    device: torch.device,
    *,
    samples: int | None,
    changed: dict[str, Any],
    precision: Precision,
    seed: int,
) -> Figures:
    """A ControlNet, beside the denoiser that it steers, at the latter's own settings."""
    control = load_control(folder)
    base = load_checkpoint(checkpoints / control.config.base.name)
    if not control.fits(base):
        raise RecipeError(
            f"{folder.name} was trained beside other weights of {base.config.name} than lie in {checkpoints}: "
            f"train it again"
        )
    options, reference = _options(base, changed, precision), image_reference(checkpoints, device)
    common: dict[str, Any] = {"scale": control.config.control_scale, "seed": seed}
    common |= {"precision": precision, "device": device}
    figures, seen = evaluate_control(control, base, reference, options, samples=samples or HINTS, **common)
    of_drawings, drawn = evaluate_drawings(control, base, reference, options, **common)
    figures |= of_drawings
    column = HEADLINE if precision == "float32" else precision
    if changed or figures["samples"] < control.config.metrics.get(column, {}).get("samples", 0):
        return figures
    config = control.config.model_copy(update={"metrics": control.config.metrics | {column: figures}})
    save_config(folder, config)
    card.save_control_sheet(folder, seen, drawn)
    card.write_control_card(folder, config)
    return figures


def _comparable(options: SamplingConfig, samples: int, seed: int, reference: Figures | None) -> None:
    """Raises RecipeError where float32 was not measured at these settings, before anything is sampled."""
    wanted = {"samples": samples, "seed": seed} | options.model_dump(include={"sampler", "steps", "guidance_scale"})
    if reference is None or any(reference.get(key) != value for key, value in wanted.items()):
        raise RecipeError("bfloat16 is compared with float32 at the same settings: evaluate without --precision first")


def _as_good(figures: Figures, reference: Figures) -> bool:
    n = reference["samples"]
    for share in ("label_accuracy", "digit", "thickness", "slant"):
        p = reference.get(share, 1.0)
        error = math.sqrt(2 * max(p * (1 - p), 1 / n) / n)
        if share in figures and p - figures[share] > 2 * error:
            return False
    return "frechet" not in figures or figures["frechet"] <= (1 + FRECHET_TOLERANCE) * reference["frechet"]
