"""`evaluate`: measure a checkpoint folder, and write down what was found."""

from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from rich.console import Console

from model.checkpoint import (
    Checkpoint,
    Config,
    Precision,
    SamplingConfig,
    load_checkpoint,
    read_role,
    save_config,
)
from model.clip import ClipCheckpoint, load_clip
from model.conditions import Asked
from model.control import load_control
from model.loading import GUIDES
from model.reader import Guide
from model.weights import CheckpointError
from training.data import mirrored, trained_on
from training.data.drawings import DRAWN_OF
from training.data.training_set import TrainingSet
from training.evaluate import card, pictures
from training.evaluate.bfloat16 import as_good, check_comparable
from training.evaluate.clouds import POINT_SEEDS, POINT_STEPS, evaluate_points, told_apart
from training.evaluate.controls import evaluate_control, of_drawings, of_held_out
from training.evaluate.denoisers import Drawing, draw, evaluate_images, evaluate_prompts
from training.evaluate.figures import Figures, settings_of
from training.evaluate.judge import load_judge
from training.evaluate.likelihood import measure_likelihood
from training.evaluate.memorisation import CHECKED, memorisation
from training.evaluate.readers import evaluate_classifier, evaluate_clip, evaluate_judge
from training.evaluate.reference import image_reference
from training.generate import Steering
from training.recipe import RecipeError

IMAGES, FEWEST_IMAGES = 10_000, 1_000
POINTS = 5_000
PROMPTS = 2_000
CLASSIFIED = 10_000  # rows shown to a classifier at each noise level
LIKELIHOOD_ROWS = 10_000  # over a chain of RESPACED steps …
RESPACED = 50
FULL_CHAIN_ROWS = 1_000  # … and over all T
HINTS = 2_000
HEADLINE = "measured"  # the column of the card at its own settings, in float32
UNCONDITIONAL = "unconditional"  # the column of a conditional model of points at scale 0
MEMORISATION = "memorisation"

console = Console(stderr=True, highlight=False)  # beside the figures, which others may read from standard output


def evaluate_checkpoint(
    folder: Path,
    checkpoints: Path,
    device: torch.device,
    *,
    samples: int | None = None,
    changed: dict[str, Any] | None = None,
    precision: Precision = "float32",
    seed: int = 0,
    compile: bool = False,
) -> Figures:
    """Measure a checkpoint; at its card's own settings (nothing in `changed`) also write config.json and README.md.

    Raises RecipeError where there is no such checkpoint or the settings cannot be.
    """
    try:
        role = read_role(folder)
        if role == "control":
            return _evaluate_control(
                folder, checkpoints, device,
                samples=samples, changed=changed or {}, precision=precision, seed=seed, compile=compile,
            )  # fmt: skip
        if role in ("judge", *GUIDES) and (changed or precision != "float32" or compile):
            raise RecipeError(
                f"{folder.name} is a {role}: it draws no samples, and is measured in float32, not compiled"
            )
        if role == "judge":
            return _evaluate_judge(folder, device)
        if role in GUIDES:
            return _evaluate_guide(folder, device, samples=samples, seed=seed)
        checkpoint = load_checkpoint(folder)
    except CheckpointError as error:
        raise RecipeError(str(error)) from error
    config = checkpoint.config
    options = _options(checkpoint, changed or {}, precision)
    data = trained_on(config)
    count = samples or _count(config, data)
    if precision == "bfloat16" and not changed:
        check_comparable(options, count, seed, config.metrics.get(HEADLINE))
    if config.data.kind == "points":
        fewer = count if data.examples is None else min(count, len(data.held_out))
        _announce(config.name, f"{POINT_SEEDS} × {fewer:,} samples")
        figures, drawn = evaluate_points(checkpoint, options, samples=count, seed=seed, device=device)
    else:
        _announce(config.name, f"{count:,} samples")
        reference = image_reference(checkpoints, data, device)
        how = Drawing(seed, precision, device, compile=compile)
        if config.reads == "text":
            clip = _clip_beside(checkpoint, checkpoints)
            figures, drawn = evaluate_prompts(checkpoint, reference, options, how, samples=count, clip=clip)
        else:
            figures, drawn = evaluate_images(checkpoint, reference, options, how, samples=count)
    column = HEADLINE if precision == "float32" else precision
    # A quick look does not take the place of a measurement that was made with more samples.
    if changed or figures["samples"] < config.metrics.get(column, {}).get("samples", 0):
        return figures

    metrics = dict(config.metrics)
    if config.data.kind == "points":
        figures |= told_apart(drawn, data)
    metrics[column] = figures
    if config.data.kind == "points" and config.data.labels:
        options = options.model_copy(update={"guidance_scale": 0.0})
        metrics[UNCONDITIONAL], _ = evaluate_points(checkpoint, options, samples=count, seed=seed, device=device)
    remembered = memorisation(drawn.rows, data, mirrored=mirrored(config)) if precision == "float32" else None
    if remembered is not None:
        metrics[MEMORISATION] = remembered.figures
    precisions = config.precisions
    if precision == "bfloat16":
        loses = not as_good(figures, metrics[HEADLINE])
        precisions = ("float32",) if loses else ("float32", "bfloat16")
    elif "bfloat16" in metrics and not settings_of(options, None).items() <= metrics["bfloat16"].items():
        del metrics["bfloat16"]  # of other settings: what it lost there says nothing here
        precisions = ("float32",)
    config = config.model_copy(update={"metrics": metrics, "precisions": precisions})
    save_config(folder, config)
    if config.data.kind == "points":
        pictures.save_points_picture(folder, config, data, drawn)
    elif precision == "float32":
        pictures.save_image_sheet(folder, config, drawn)
        pictures.save_nearest_picture(folder, remembered)
    card.write_denoiser_card(folder, config)
    return figures


def evaluate_memorisation(
    folder: Path, device: torch.device, *, samples: int | None = None, seed: int = 0, compile: bool = False
) -> Figures:
    """How near samples, drawn anew by the card's own settings, are to what was trained on; but for a quick look it goes
    into config.json and the card.

    Raises RecipeError where there is no such checkpoint, or nothing that could be remembered.
    """
    try:
        checkpoint = load_checkpoint(folder)
    except CheckpointError as error:
        raise RecipeError(str(error)) from error
    config, options = checkpoint.config, _options(checkpoint, {}, "float32")
    data = trained_on(config)
    if data.examples is None:
        raise RecipeError(f"{config.name}: {config.data.dataset} is drawn without end: there is nothing to remember")
    how = Drawing(seed, "float32", device, compile=compile)
    drawn = draw(checkpoint, data, options, how, samples=samples or CHECKED)
    remembered = memorisation(drawn.rows, data, mirrored=mirrored(config))
    if samples is None:
        config = config.model_copy(update={"metrics": config.metrics | {MEMORISATION: remembered.figures}})
        save_config(folder, config)
        if config.data.kind == "images":
            pictures.save_nearest_picture(folder, remembered)
        card.write_denoiser_card(folder, config)
    return remembered.figures


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
    compile: bool = False,
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
    config, data = checkpoint.config, trained_on(checkpoint.config)
    count = _count(config, data, steers.steers)
    if config.data.kind == "points":
        figures, _ = evaluate_points(
            checkpoint, options, samples=samples or count, seed=seed, device=device, steering=steering
        )
    else:
        reference = image_reference(checkpoints, data, device)
        how = Drawing(seed, precision, device, steering, compile)
        if steers.steers == "text":
            figures, _ = evaluate_prompts(checkpoint, reference, options, how, samples=samples or count, clip=steers)
        else:
            figures, _ = evaluate_images(checkpoint, reference, options, how, samples=samples or count)
    if not changed and samples in (None, count):
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
    folder: Path,
    device: torch.device,
    *,
    samples: int | None = None,
    precision: Precision = "float32",
    seed: int = 0,
    compile: bool = False,
) -> dict[str, Figures]:
    """Bits per dimension over a respaced and over the full chain; but for a quick look each goes into config.json and
    the card when it is done.

    Raises RecipeError where there is no such checkpoint.
    """
    try:
        checkpoint = load_checkpoint(folder)
    except CheckpointError as error:
        raise RecipeError(str(error)) from error
    chains = {min(RESPACED, checkpoint.schedule.T): LIKELIHOOD_ROWS, checkpoint.schedule.T: FULL_CHAIN_ROWS}
    found, columns = {}, {}
    for steps, rows in chains.items():
        count = min(rows, samples or rows)
        _announce(checkpoint.config.name, f"bits of {count:,} rows over {steps} steps")
        found[steps] = measure_likelihood(
            checkpoint, steps, rows=count, seed=seed, precision=precision, device=device, compile=compile
        )
        columns[f"likelihood, {steps} steps"] = found[steps].figures
        if samples is None:
            config = checkpoint.config.model_copy(update={"metrics": checkpoint.config.metrics | columns})
            save_config(folder, config)
            if len(found) == len(chains):
                pictures.save_likelihood_picture(folder, config, found)
            card.write_denoiser_card(folder, config)
    return columns


def _evaluate_judge(folder: Path, device: torch.device) -> Figures:
    judge = load_judge(folder, device)
    _announce(judge.config.name, f"{len(trained_on(judge.config).held_out):,} held-out images")
    figures = evaluate_judge(judge)
    config = judge.config.model_copy(update={"metrics": {HEADLINE: figures}})
    save_config(folder, config)
    card.write_judge_card(folder, config)
    return figures


def _evaluate_guide(folder: Path, device: torch.device, *, samples: int | None, seed: int) -> Figures:
    guide = GUIDES[read_role(folder)](folder)
    measure = evaluate_clip if isinstance(guide, ClipCheckpoint) else evaluate_classifier
    count = samples or CLASSIFIED
    _announce(guide.name, f"at most {count:,} held-out rows")
    figures, accuracies = measure(guide, samples=count, seed=seed, device=device)
    if samples is None:
        pictures.save_accuracy_picture(folder, guide.config, accuracies)
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
    compile: bool,
) -> Figures:
    """A ControlNet, beside the denoiser that it steers, at the latter's own settings: hints with their labels, and
    alone, guided as the ControlNet's card advises; a guidance scale in `changed` is of both."""
    control = load_control(folder)
    base = load_checkpoint(checkpoints / control.config.base.name)
    if not control.fits(base):
        raise RecipeError(
            f"{folder.name} was trained beside other weights of {base.config.name} than lie in {checkpoints}: "
            f"train it again"
        )
    options = _options(base, changed, precision)
    options_alone = options if "guidance_scale" in changed else control.config.alone(options)
    reference = image_reference(checkpoints, trained_on(base.config), device)
    shown = of_held_out(control.hint, reference.data, samples or HINTS, seed)
    _announce(folder.name, f"{len(shown):,} hints")
    parts = {"": shown}
    if base.config.data.dataset == DRAWN_OF:
        parts["drawings"] = of_drawings(control.config)
    figures, seen = {}, []
    for part, of in parts.items():
        by_way, made = [], []
        for alone, at in ((False, options), (True, options_alone)):
            found, images = evaluate_control(
                control, base, of, reference, at, scale=control.config.control_scale, alone=alone, seed=seed,
                precision=precision, device=device, compile=compile,
            )  # fmt: skip
            by_way.append(found)
            made.append(images)
        figures |= _of_drawings(*by_way) if part else _of_hints(*by_way)
        seen.append((of, made))
    column = HEADLINE if precision == "float32" else precision
    if changed or figures["samples"] < control.config.metrics.get(column, {}).get("samples", 0):
        return figures
    config = control.config.model_copy(update={"metrics": control.config.metrics | {column: figures}})
    save_config(folder, config)
    pictures.save_control_sheet(folder, seen)
    card.write_control_card(folder, config)
    return figures


def _of_hints(labelled: Figures, alone: Figures) -> Figures:
    told = {"guidance_scale", "agreement", "label_accuracy"} & alone.keys()
    return labelled | {f"{name}_alone": alone[name] for name in alone if name in told}


def _of_drawings(labelled: Figures, alone: Figures) -> Figures:
    """Nothing where there is no judge who reads them."""
    both = {"drawings": labelled.get("label_accuracy"), "drawings_alone": alone.get("label_accuracy")}
    return {name: share for name, share in both.items() if share is not None}


def _announce(name: str, what: str) -> None:
    """It may take minutes."""
    console.print(f"evaluating {name}: {what} …", soft_wrap=True)


def _count(config: Config, data: TrainingSet, steers: Asked | None = None) -> int:
    """How many samples are measured, unless it is said: of images as many as are held out, as far as that is enough and
    not too many."""
    if config.data.kind == "points":
        return POINTS
    if (steers or config.reads) == "text":
        return min(PROMPTS, max(FEWEST_IMAGES, len(data.held_out)))
    return min(IMAGES, max(FEWEST_IMAGES, len(data.held_out)))


def _clip_beside(checkpoint: Checkpoint, checkpoints: Path) -> ClipCheckpoint | None:
    """The CLIP whose text encoder it reads, if that is there, and reads it still."""
    name = checkpoint.config.recipe.get("text_from")
    if name is None:
        return None
    try:
        clip = load_clip(checkpoints / name)
    except CheckpointError:
        return None
    return clip if clip.text.config == checkpoint.config.text else None
