"""`init`: survey own data, propose recipes for them, and write these."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from accelerate import Accelerator, PartialState
from pydantic import ValidationError

from model.checkpoints.config import NAME_PATTERN, load_config
from model.checkpoints.denoiser import DenoiserConfig
from model.checkpoints.weights import CheckpointError
from training.data.data_section import BUILT_IN, ImageSection, TableSection
from training.data.decoded_images import image_set
from training.data.image_folder import read_folder
from training.data.names import printable
from training.data.split import digests
from training.data.table import table_set
from training.data.table_file import read_columns
from training.data.training_set import DataError, FiniteSet
from training.init.choices import Choice, Choices, Draft, comment, plain
from training.init.optimisation import with_steps
from training.init.probe import measure_pace
from training.init.propose import choose_size, recipe_for, standardisation
from training.init.roles import SUFFIXES, DataSummary, Role, UnsupportedRole
from training.init.survey import count_lines, left_out_lines, survey_images
from training.init.table_survey import survey_table
from training.recipe import RecipeError, parse_recipe, recipe_names
from training.tasks.registry import make_task, needed

FEWEST_STEPS = 100

Say = Callable[[str], None]
S = TypeVar("S", ImageSection, TableSection)


@dataclass(frozen=True)
class InitOptions:
    """Choices that the user makes. An option that is None or empty is proposed instead.

    size        (height, width)
    without     columns that are left out
    minutes     that training may take, for each recipe
    base        the name of a ControlNet's base denoiser
    start_from  the folder of a checkpoint whose weights training starts from
    """

    roles: Sequence[Role] = ()
    size: tuple[int, int] | None = None
    channels: int | None = None
    fit: str = "crop"
    labels: bool = True
    label: str | None = None
    without: Sequence[str] = ()
    flip: bool = False
    shift: int = 0
    colour: float = 0.0
    jitter: float = 0.0
    minutes: float | None = None
    base: str | None = None
    start_from: Path | None = None


def init(
    path: str,
    name: str,
    options: InitOptions,
    *,
    recipes: Path,
    checkpoints: Path,
    force: bool = False,
    say: Say,
) -> list[Path]:
    """Write a recipe for each role, and return their paths.

    path         a folder of images, or a CSV
    name         of the data in requests, and of the recipes
    recipes      the folder of the recipes
    checkpoints  the folder of checkpoints that recipes build on
    force        overwrite recipes
    say          print a line

    Raises DataError and RecipeError, with the remedy.
    """
    _check_name(name)
    taken_from = None if options.start_from is None else _starting_config(options.start_from)
    device = PartialState().device
    if Path(path).is_dir():
        data, examples = _image_section(path, name, options, taken_from, device, say)
    else:
        data, examples = _table_section(path, name, options, say)
    captioned = bool(examples.examples.captions)
    summary = DataSummary(len(examples), examples.config, device, captioned, taken_from)
    roles = options.roles or (Role.CONDITIONAL if examples.config.labels else Role.UNCONDITIONAL,)
    texts, reports = dict[Path, str](), []
    for role in dict.fromkeys(roles):
        own_name = name if role == Role.CONDITIONAL or not options.roles else f"{name}-{SUFFIXES[role]}"
        target = recipes / f"{own_name}.toml"
        if target.exists() and not force:
            raise RecipeError(f"{target} is there: --force writes it anew, another --name beside it")
        try:
            draft = recipe_for(role, own_name, data, summary, options.base or name)
        except UnsupportedRole as error:
            raise RecipeError(str(error)) from error
        draft, duration = _timed(draft, target, summary, options.minutes, checkpoints)
        texts[target] = _heading(path, examples) + draft.to_toml()
        reports.append(f"{target}: {duration}")
    # All or none: recipes from before a refusal would hinder the next try.
    recipes.mkdir(parents=True, exist_ok=True)
    for target, text in texts.items():
        target.write_text(text, encoding="utf-8")
    for report in reports:
        say(report)
    return list(texts)


def _image_section(
    path: str, name: str, options: InitOptions, taken_from: DenoiserConfig | None, device: torch.device, say: Say
) -> tuple[Choices, FiniteSet]:
    """(the section [data] for a folder of images, these images). Raises DataError and RecipeError."""
    folder = read_folder(Path(path), labels=options.labels)
    survey = survey_images(folder)
    for line in survey.lines():
        say(line)
    size = choose_size(survey, device)
    channels = Choice(1 if survey.grey else 3, "they are grey" if survey.grey else "there are colours in them")
    if taken_from is not None:
        own_channels, *sides = taken_from.data.shape
        size, channels = Choice(sides, f"{taken_from.name}'s"), Choice(own_channels, f"{taken_from.name}'s")
    if options.size is not None:
        size = Choice(list(options.size), "as asked")
    if options.channels is not None:
        channels = Choice(options.channels, "as asked")
    section: Choices = {
        "dataset": Choice(name, "its name in requests"),
        "images": Choice(_written(path), "relative to where training starts"),
        "size": Choice(size.value, f"height and width; {size.why}"),
        "channels": channels,
        "fit": Choice(options.fit, "the largest part around the middle" if options.fit == "crop" else "all, stretched"),
        "labels": Choice(
            options.labels, "folders are classes" if folder.classes else "there are no folders of classes"
        ),
        "held_out": Choice(0.1, "share of each class for measurements, never trained on"),
    }
    by_channel = _checked(ImageSection, section | {"standardise": Choice("channels")})
    section["standardise"] = standardisation(image_set(by_channel).config.std)
    section |= {
        "flip": Choice(options.flip, "mirrors half of the images: wrong for letters and digits"),
        "shift": Choice(options.shift, "pixels, at most, in each direction"),
        "colour": Choice(options.colour, "brightness, contrast and saturation, times 1 ± this"),
    }
    images = image_set(_checked(ImageSection, section))
    _report(images, say)
    return section, images


def _table_section(path: str, name: str, options: InitOptions, say: Say) -> tuple[Choices, FiniteSet]:
    """(the section [data] for a CSV, its points). Raises DataError and RecipeError."""
    columns = read_columns(Path(path))
    for line in columns.format():
        say(f"format   {line}")
    survey = survey_table(columns, options.label)
    without = {column: "as asked" for column in options.without}
    without |= {column: why for column, why in survey.without.items() if column not in without}
    label = options.label or (survey.label if options.labels else None)
    if survey.unsure is not None and options.labels:
        say(f"label    none: a value of {survey.unsure!r} is in one line alone, which is no class to learn")
    section: Choices = {
        "dataset": Choice(name, "its name in requests"),
        "table": Choice(_written(path), "relative to where training starts"),
    }
    if label is not None:
        why = "as asked" if options.label else "it looks like the class; --label takes another one, --no-labels none"
        section["label"] = Choice(label, why)
        without.pop(label, None)
    if without:
        section["without"] = Choice(list(without), ", ".join(f"{column} {why}" for column, why in without.items()))
        say("without  " + ", ".join(f"{column} ({why})" for column, why in without.items()))
    section |= {
        "held_out": Choice(0.1, "share of each class for measurements, never trained on"),
        "jitter": Choice(options.jitter, "noise, in standard deviations of each column"),
    }
    points = table_set(_checked(TableSection, section))
    guessed = "" if options.label else " (a guess: --label COLUMN takes another, --no-labels none)"
    say(f"columns  {', '.join(points.config.columns)}" + (f"; the label is {label}{guessed}" if label else ""))
    _report(points, say)
    return section, points


def _checked(section: type[S], choices: Choices) -> S:
    """The section [data]. Raises RecipeError for impossible options."""
    try:
        return section.model_validate(plain(choices))
    except ValidationError as error:
        raise RecipeError(
            "; ".join(f"--{e['loc'][0]}: {e['msg']}, not {e['input']!r}" for e in error.errors())
        ) from error


def _report(data: FiniteSet, say: Say) -> None:
    """Print how the data were understood, the numbers of rows and classes, the rows left out, and the copies."""
    for note in data.notes:
        say(f"note     {note}")
    for line in (*count_lines(data), *left_out_lines(data)):
        say(line)
    distinct = np.unique(np.concatenate([digests(part.rows.numpy()) for part in (data.examples, data.held_out)]))
    copies = len(data.examples) + len(data.held_out) - len(distinct)
    if copies:
        say(f"copies: {copies:,} are the same as another")
    say(f"{len(data.examples):,} to train on, {len(data.held_out):,} held out")


def _timed(
    draft: Draft, target: Path, summary: DataSummary, minutes: float | None, checkpoints: Path
) -> tuple[Draft, str]:
    """(the recipe with its measured duration, a report of that); it has fewer steps if `minutes` demand it.

    Raises RecipeError if `minutes` are too few.
    """
    made = parse_recipe(draft.plain(), str(target))
    missing = [folder.name for folder in needed(made, checkpoints).values() if not folder.is_dir()]
    if missing:
        first = f"train {' and '.join(missing)} first"
        if minutes is not None:
            first += ", then init again with --force: --minutes is not kept, for no step can be timed without it"
        return draft, f"{made.optimisation.steps:,} steps; {first}"
    task = make_task(made, checkpoints)
    size = sum(parameter.numel() for parameter in task.network.parameters())
    accelerator = Accelerator(mixed_precision=made.optimisation.mixed_precision)
    pace = measure_pace(task, accelerator)
    seconds, steps = pace.seconds, made.optimisation.steps
    if minutes is not None and steps * seconds > 60 * minutes:
        steps = int(60 * minutes / seconds)
        if steps < FEWEST_STEPS:
            enough = math.ceil(FEWEST_STEPS * seconds / 6) / 10
            smaller = ", or take smaller pictures by --size" if summary.images and "data" in draft.sections else ""
            raise RecipeError(
                f"{made.name}: a step takes {seconds:.2g} s here, so that {minutes:g} minutes are {steps} steps, too "
                f"few to learn anything: allow at least --minutes {enough:g}{smaller}"
            )
        draft = with_steps(draft, steps, made.optimisation.batch_size, summary.rows)
    duration = (
        f"about {_duration(steps * seconds)} on this {summary.device.type.upper()}, {seconds * 1000:.0f} ms a step"
    )
    if pace.shared:
        duration += ", measured while other work ran on it: alone it is quicker"
    sections = dict(draft.sections)
    sections["optimisation"] = replace(sections["optimisation"], why=duration)
    if "network" in sections and not sections["network"].why:
        sections["network"] = replace(sections["network"], why=f"{size / 1e6:.2g} M parameters")
    return replace(draft, sections=sections), f"{steps:,} steps, {duration}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def _heading(path: str, data: FiniteSet) -> str:
    """The comment at the top of a recipe."""
    n, classes = len(data.examples) + len(data.held_out), len(data.config.labels)
    what = f"{n:,} {'images' if data.config.kind == 'images' else 'points'}"
    made = f"Made by init from {_written(path)}: {what}{f' in {classes} classes' if classes else ''}."
    return f"{comment(made)}\n\n"


def _check_name(name: str) -> None:
    """Raises RecipeError if the name is malformed or taken."""
    if not re.match(NAME_PATTERN, name):
        raise RecipeError(f"--name {name!r}: small letters, digits, '.', '_' and '-', beginning with a letter or digit")
    if name in BUILT_IN or name in recipe_names():
        raise RecipeError(f"--name {name!r} is taken by what comes with this package: take another")


def _written(path: str) -> str:
    """A path as text in TOML. Raises DataError if it is not UTF-8."""
    if printable(path) != path:
        raise DataError(f"{printable(path)}: the name is not UTF-8: rename it, or give another way to it")
    return path


def _starting_config(folder: Path) -> DenoiserConfig:
    """The config of the checkpoint that training starts from. Raises RecipeError."""
    try:
        return load_config(folder, DenoiserConfig)
    except CheckpointError as error:
        raise RecipeError(f"--from: {error}") from error
