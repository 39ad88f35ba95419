"""Measure a denoiser: what it draws by its card's settings, and how near that is to what it was trained on."""

from pathlib import Path
from typing import Any

from model.checkpoints.clip import ClipCheckpoint, load_clip
from model.checkpoints.config import SamplingConfig, save_config
from model.checkpoints.denoiser import DenoiserCheckpoint, load_checkpoint
from model.checkpoints.weights import CheckpointError
from training.card import card, pictures
from training.data import mirrored, trained_on
from training.data.training_set import TrainingSet
from training.evaluate.bfloat16 import as_good, check_comparable
from training.evaluate.command.options import MEASURED, announce, count_of, options_of
from training.evaluate.image_evaluation import draw, evaluate_images, evaluate_prompts
from training.evaluate.measurement import Metrics, settings_of
from training.evaluate.point_evaluation import POINT_SEEDS, evaluate_points, two_sample_test
from training.evaluate.sampling_run import Generated, SamplingRun
from training.metrics.image_reference import find_judge, image_reference
from training.metrics.memorisation import CHECKED, memorisation
from training.recipe import RecipeError

UNCONDITIONAL = "unconditional"  # the column of a conditional model of points at scale 0
MEMORISATION = "memorisation"


def evaluate_denoiser(
    folder: Path,
    checkpoints: Path,
    how: SamplingRun,
    *,
    samples: int | None,
    changed: dict[str, Any],
) -> Metrics:
    """Raises CheckpointError, and RecipeError where the settings cannot be."""
    checkpoint = load_checkpoint(folder)
    config, precision = checkpoint.config, how.precision
    options = options_of(checkpoint, changed, precision)
    data = trained_on(config)
    count = samples or count_of(config, data)
    if precision == "bfloat16" and not changed:
        check_comparable(options, count, how.seed, config.metrics.get(MEASURED))
    metrics, drawn = _measured(checkpoint, data, checkpoints, options, how, count)
    column = MEASURED if precision == "float32" else precision
    # A quick look does not take the place of a measurement that was made with more samples.
    if changed or metrics["samples"] < config.metrics.get(column, {}).get("samples", 0):
        return metrics

    columns, precisions, remembered = config.metrics | {column: metrics}, config.precisions, None
    if precision == "bfloat16":
        precisions = ("float32", "bfloat16") if as_good(metrics, columns[MEASURED]) else ("float32",)
    else:
        if "bfloat16" in columns and not settings_of(options, None).items() <= columns["bfloat16"].items():
            del columns["bfloat16"]  # of other settings: what it lost there says nothing here
            precisions = ("float32",)
        if config.data.kind == "points":
            metrics |= two_sample_test(drawn, data)
            if config.data.labels:
                unasked = options.model_copy(update={"guidance_scale": 0.0})
                columns[UNCONDITIONAL], _ = evaluate_points(checkpoint, unasked, how, samples=count)
        if remembered := memorisation(drawn.rows, data, mirrored=mirrored(config)):
            columns[MEMORISATION] = remembered.metrics
    config = config.model_copy(update={"metrics": columns, "precisions": precisions})
    save_config(folder, config)
    if config.data.kind == "points":
        pictures.save_points_picture(folder, config, data, drawn)
    elif precision == "float32":
        pictures.save_image_sheet(folder, config, drawn)
        pictures.save_nearest_picture(folder, remembered)
    card.write_denoiser_card(folder, config)
    return metrics


def _measured(
    checkpoint: DenoiserCheckpoint,
    data: TrainingSet,
    checkpoints: Path,
    options: SamplingConfig,
    how: SamplingRun,
    count: int,
) -> tuple[Metrics, Generated]:
    """By whatever measures what it draws and reads."""
    config = checkpoint.config
    if config.data.kind == "points":
        fewer = count if data.examples is None else min(count, len(data.held_out))
        announce(config.name, f"{POINT_SEEDS} × {fewer:,} samples")
        return evaluate_points(checkpoint, options, how, samples=count)
    announce(config.name, f"{count:,} samples")
    reference = image_reference(find_judge(checkpoints, config.data), data, how.device)
    if config.conditioning == "text":
        clip = _clip_beside(checkpoint, checkpoints)
        return evaluate_prompts(checkpoint, reference, options, how, samples=count, clip=clip)
    return evaluate_images(checkpoint, reference, options, how, samples=count)


def evaluate_memorisation(folder: Path, how: SamplingRun, *, samples: int | None = None) -> Metrics:
    """How near samples, drawn anew by the card's own settings, are to what was trained on; but for a quick look it goes
    into config.json and the card.

    Raises RecipeError where there is no such checkpoint, or nothing that could be remembered.
    """
    try:
        checkpoint = load_checkpoint(folder)
    except CheckpointError as error:
        raise RecipeError(str(error)) from error
    config, options = checkpoint.config, options_of(checkpoint, {}, how.precision)
    data = trained_on(config)
    if data.examples is None:
        raise RecipeError(f"{config.name}: {config.data.dataset} is drawn without end: there is nothing to remember")
    drawn = draw(checkpoint, data, options, how, samples=samples or CHECKED)
    remembered = memorisation(drawn.rows, data, mirrored=mirrored(config))
    if samples is None:
        config = config.model_copy(update={"metrics": config.metrics | {MEMORISATION: remembered.metrics}})
        save_config(folder, config)
        if config.data.kind == "images":
            pictures.save_nearest_picture(folder, remembered)
        card.write_denoiser_card(folder, config)
    return remembered.metrics


def _clip_beside(checkpoint: DenoiserCheckpoint, checkpoints: Path) -> ClipCheckpoint | None:
    """The CLIP whose text encoder it reads, if that is there, and reads it still."""
    name = checkpoint.config.recipe.get("text_from")
    if name is None:
        return None
    try:
        clip = load_clip(checkpoints / name)
    except CheckpointError:
        return None
    return clip if clip.text.config == checkpoint.config.text else None
