"""Measure a denoiser: the quality of its samples, and whether they are copies of training rows."""

from pathlib import Path

from model.checkpoints.base import Precision
from model.checkpoints.clip import ClipCheckpoint, load_clip
from model.checkpoints.config import MEASURED, SamplingConfig, load_config
from model.checkpoints.denoiser import FARTHEST, DenoiserCheckpoint, DenoiserConfig, load_checkpoint
from model.checkpoints.distilled import STEPS
from model.checkpoints.few_step_quality import in_steps
from model.checkpoints.judge import find_judge
from model.checkpoints.weights import CheckpointError
from training.card import card, pictures
from training.data import mirrored, trained_on
from training.data.training_set import TrainingSet
from training.evaluate.command.card_update import CardUpdate
from training.evaluate.command.options import ChangedSettings, announce, count_of, options_of
from training.evaluate.command.stale_columns import ADVISED, without_stale
from training.evaluate.command.teacher_column import teacher_column
from training.evaluate.farthest_samples import distance_from_real, draw_farthest
from training.evaluate.image_evaluation import evaluate_images, evaluate_prompts, generate_conditioned
from training.evaluate.lower_precision import as_good, check_comparable
from training.evaluate.measurement import Metrics, computed, rounded, settings_of
from training.evaluate.point_evaluation import (
    POINT_SEEDS,
    evaluate_points,
    train_on_synthetic_test_on_real,
    two_sample_test,
)
from training.evaluate.sampling_run import Generated, SamplingRun
from training.metrics.image_reference import JUDGED_BY, ImageReference, image_reference
from training.metrics.memorisation import CHECKED, Memorisation, memorisation
from training.recipe import RecipeError

UNCONDITIONAL = "unconditional"  # the column of a conditional denoiser of points at scale 0
MEMORISATION = "memorisation"


def evaluate_denoiser(
    folder: Path,
    checkpoints: Path,
    run: SamplingRun,
    *,
    samples: int | None,
    changed: ChangedSettings,
) -> Metrics:
    """Measure a denoiser; at its card's own settings, also write its config, card and pictures.

    Raises CheckpointError, and RecipeError if the settings are impossible.
    """
    checkpoint = load_checkpoint(folder)
    config, precision = checkpoint.config, run.precision
    update = CardUpdate(folder, config)
    options = options_of(checkpoint, changed, precision)
    data = trained_on(config)
    count = samples or count_of(config, data)
    reference = _reference(checkpoint, data, checkpoints, run)
    if precision != "float32" and not changed:
        float32 = config.metrics.get(MEASURED)
        check_comparable(precision, options, count, run.seed, reference.judged_by, float32)
    metrics, generated = _measured(checkpoint, reference, checkpoints, options, run, count)
    column = MEASURED if precision == "float32" else precision
    if changed or update.has_more(column, metrics):
        return metrics

    columns, found, as_advised = {column: metrics}, None, generated
    if precision == "float32":
        if config.data.kind == "points":
            metrics |= two_sample_test(generated, data) | train_on_synthetic_test_on_real(generated, data)
            if options != config.sampling:
                columns[ADVISED], as_advised = evaluate_points(checkpoint, data, config.sampling, run, samples=count)
            if config.data.labels:
                unconditional = options.model_copy(update={"guidance_scale": 0.0})
                columns[UNCONDITIONAL], _ = evaluate_points(checkpoint, data, unconditional, run, samples=count)
        if config.distilled is not None:
            for steps in sorted(set(STEPS) - {options.steps}):
                so = options.model_copy(update={"steps": steps})
                columns[in_steps(steps)], _ = _measured(checkpoint, reference, checkpoints, so, run, count)
            columns |= teacher_column(config.distilled.teacher, DenoiserConfig, checkpoints)
        if data.examples is not None:
            found = memorisation(generated.rows, data, mirrored=mirrored(config))
            columns[MEMORISATION] = _remembered(found, options, run)
    config = update.write(columns, lambda now: _with_precisions(now, precision, options))
    if config.data.kind == "points":
        pictures.save_points_picture(folder, config, data, generated)
    elif precision == "float32":
        pictures.save_image_sheet(folder, config, generated)
        if found is not None:
            pictures.save_nearest_picture(folder, found)
    if precision == "float32":
        distance = distance_from_real(as_advised.rows, reference)
        pictures.save_farthest_picture(folder / FARTHEST, data, as_advised, distance)
    card.write_denoiser_card(folder, update.now())
    return metrics


def _with_precisions(config: DenoiserConfig, precision: Precision, options: SamplingConfig) -> DenoiserConfig:
    """The config with the precisions that its metrics allow, after one was measured at these settings."""
    if precision == "float32":
        return without_stale(config)
    measured, float32 = config.metrics[precision], config.metrics.get(MEASURED)
    judged_by: Metrics = {entry: value for entry, value in measured.items() if entry in JUDGED_BY}
    check_comparable(precision, options, measured["samples"], measured["seed"], judged_by, float32)
    others = tuple(one for one in config.precisions if one != precision)
    allowed = (*others, precision) if as_good(measured, config.metrics[MEASURED]) else others
    return config.model_copy(update={"precisions": allowed})


def _measured(
    checkpoint: DenoiserCheckpoint,
    reference: ImageReference,
    checkpoints: Path,
    options: SamplingConfig,
    run: SamplingRun,
    count: int,
) -> tuple[Metrics, Generated]:
    """(metrics, samples) by the evaluation for the denoiser's data and conditioning."""
    config, data = checkpoint.config, reference.data
    if config.data.kind == "points":
        fewer = count if data.examples is None else min(count, len(data.held_out))
        announce(config.name, f"{POINT_SEEDS} × {fewer:,} samples")
        return evaluate_points(checkpoint, data, options, run, samples=count)
    announce(config.name, f"{count:,} samples")
    if config.conditioning == "text":
        clip = _clip_beside(checkpoint, checkpoints)
        return evaluate_prompts(checkpoint, reference, options, run, samples=count, clip=clip)
    return evaluate_images(checkpoint, reference, options, run, samples=count)


def _reference(
    checkpoint: DenoiserCheckpoint, data: TrainingSet, checkpoints: Path, run: SamplingRun
) -> ImageReference:
    """Its data, as a judge sees them where there is one. Raises RecipeError if the judge cannot be loaded."""
    config = checkpoint.config.data
    return image_reference(find_judge(checkpoints, config) if config.kind == "images" else None, data, run.device)


def evaluate_farthest(folder: Path, checkpoints: Path, run: SamplingRun) -> Metrics:
    """Draw the samples that are farthest from real data anew, at the card's own settings; see `draw_farthest`.

    Raises RecipeError if there is no such checkpoint.
    """
    try:
        checkpoint = load_checkpoint(folder)
    except CheckpointError as error:
        raise RecipeError(str(error)) from error
    update = CardUpdate(folder, checkpoint.config)
    reference = _reference(checkpoint, trained_on(checkpoint.config), checkpoints, run)
    distance = draw_farthest(checkpoint, reference, run, folder / FARTHEST)
    card.write_denoiser_card(folder, update.now())
    return {
        "samples": len(distance),
        "farthest": rounded(distance.max().item()),
        "median": rounded(distance.median().item()),
    }


def evaluate_memorisation(folder: Path, run: SamplingRun, *, samples: int | None = None) -> Metrics:
    """Compare new samples at the card's own settings with the training rows; see `memorisation`.

    Except with `samples`, the metrics go into config.json and the card.

    Raises RecipeError if there is no such checkpoint, or its data have no examples to memorise.
    """
    try:
        checkpoint = load_checkpoint(folder)
    except CheckpointError as error:
        raise RecipeError(str(error)) from error
    config, options = checkpoint.config, options_of(checkpoint, {}, run.precision)
    update, data = CardUpdate(folder, config), trained_on(config)
    if data.examples is None:
        raise RecipeError(f"{config.name}: rows of {config.data.dataset} are made without end: none can be memorised")
    generated = generate_conditioned(checkpoint, data, options, run, samples=samples or CHECKED)
    found = memorisation(generated.rows, data, mirrored=mirrored(config))
    metrics = _remembered(found, options, run)
    if samples is None:
        config = update.write({MEMORISATION: metrics})
        if config.data.kind == "images":
            pictures.save_nearest_picture(folder, found)
        card.write_denoiser_card(folder, update.now())
    return metrics


def _remembered(found: Memorisation, options: SamplingConfig, run: SamplingRun) -> Metrics:
    """The metrics with the settings of the samples: who doubts them can make the same ones."""
    settings: Metrics = {"seed": run.seed, **computed(run), **settings_of(options, None)}
    return settings | found.metrics


def _clip_beside(checkpoint: DenoiserCheckpoint, checkpoints: Path) -> ClipCheckpoint | None:
    """The CLIP that the denoiser's text encoder comes from, if it is in `checkpoints` and still has that encoder."""
    config = checkpoint.config
    try:
        if config.distilled is not None:
            config = load_config(checkpoints / config.distilled.teacher, DenoiserConfig)
        name = config.recipe.get("text_from")
        clip = None if name is None else load_clip(checkpoints / name)
    except CheckpointError:
        return None
    return clip if clip is not None and clip.text.config == checkpoint.config.text else None
