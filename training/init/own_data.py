"""The section [data] of a proposed recipe, and what the user is told of the data."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from pydantic import ValidationError

from model.checkpoints.denoiser import DenoiserConfig
from model.table import encoded_columns
from training.data.data_section import ImageSection, TableSection
from training.data.decoded_images import image_set
from training.data.image_folder import read_folder
from training.data.names import printable
from training.data.parquet_table import columns_of
from training.data.split import digests
from training.data.table import table_set
from training.data.training_set import DataError, FiniteSet
from training.init.choices import Choice, Choices, plain
from training.init.propose import choose_size, standardisation
from training.init.roles import Role
from training.init.survey import count_lines, left_out_lines, near_copies, survey_images
from training.init.table_survey import TableSurvey, survey_table
from training.recipe import RecipeError

Say = Callable[[str], None]
KINDS = {
    "categories": "drawn with the rest, a dimension for each",
    "dates": "drawn as days",
    "whole": "samples have whole numbers too",
    "missing": "",
}
S = TypeVar("S", ImageSection, TableSection)


@dataclass(frozen=True)
class InitOptions:
    """Choices that the user makes. An option that is None or empty is proposed instead.

    size        (height, width)
    group       a regular expression, see `ImageSection`
    unlabelled  a folder of images without a label
    without     columns that are left out
    categories  columns that are encoded as categories, whatever they look like
    minutes     that training may take, for each recipe
    clusters    pseudo-labels of rows without labels
    base        the name of the base denoiser of a ControlNet, a few-step student or a weak network, or of the denoiser
                whose features are clustered
    start_from  the folder of a checkpoint whose weights training starts from
    """

    roles: Sequence[Role] = ()
    size: tuple[int, int] | None = None
    channels: int | None = None
    fit: str = "crop"
    labels: bool = True
    group: str | None = None
    unlabelled: str | None = None
    label: str | None = None
    without: Sequence[str] = ()
    categories: Sequence[str] = ()
    flip: bool = False
    shift: int = 0
    colour: float = 0.0
    jitter: float = 0.0
    minutes: float | None = None
    clusters: int | None = None
    base: str | None = None
    start_from: Path | None = None


OF_IMAGES = {
    "size": "--size",
    "channels": "--grey/--colours",
    "fit": "--fit",
    "group": "--group",
    "unlabelled": "--unlabelled",
    "flip": "--flip",
    "shift": "--shift",
    "colour": "--colour",
}  # fields of InitOptions that are of images alone, and their options
OF_TABLES = {"label": "--label", "without": "--without", "categories": "--category", "jitter": "--jitter"}


def _refuse(given: InitOptions, of: Mapping[str, str], why: str) -> None:
    """Raises RecipeError if one of these fields is given."""
    usual = InitOptions()
    for field, option in of.items():
        if getattr(given, field) != getattr(usual, field):
            raise RecipeError(f"{option}: {why}")


def image_section(
    path: str, name: str, options: InitOptions, taken_from: DenoiserConfig | None, device: torch.device, say: Say
) -> tuple[Choices, FiniteSet]:
    """(the section [data] for a folder of images, these images). Raises DataError and RecipeError."""
    _refuse(options, OF_TABLES, f"is of tables, and {printable(path)} is a folder")
    folder = read_folder(Path(path), labels=options.labels, group=options.group)
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
        "images": Choice(written_path(path), "relative to where training starts"),
        "size": Choice(size.value, f"height and width; {size.why}"),
        "channels": channels,
        "fit": Choice(options.fit, "the largest part around the middle" if options.fit == "crop" else "all, stretched"),
        "labels": Choice(
            options.labels, "folders are classes" if folder.classes else "there are no folders of classes"
        ),
        "held_out": Choice(0.1, "share of each class for measurements, never trained on"),
    }
    if options.group is not None:
        section["group"] = Choice(
            options.group, "finds what an image belongs to; that is held out whole, or not at all"
        )
    if options.unlabelled is not None:
        section["unlabelled"] = Choice(
            written_path(options.unlabelled), "images that denoisers are trained on too, without a label"
        )
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


def table_section(path: str, name: str, options: InitOptions, say: Say) -> tuple[Choices, FiniteSet]:
    """(the section [data] for a table, its points). Raises DataError and RecipeError."""
    _refuse(options, OF_IMAGES, f"is of images, and {printable(path)} is no folder")
    _refuse_contradictions(options)
    columns = columns_of(Path(path))
    for line in columns.format():
        say(f"format   {line}")
    survey = survey_table(columns, options.label, options.labels, {*options.without, *options.categories})
    without = {column: "as asked" for column in options.without}
    without |= {column: why for column, why in survey.without.items() if column not in without}
    label = options.label or survey.label
    if survey.unsure is not None:
        say(f"label    none: a value of {survey.unsure!r} is in one line alone, which is no class to learn")
    section: Choices = {
        "dataset": Choice(name, "its name in requests"),
        "table": Choice(written_path(path), "relative to where training starts"),
    }
    if label is not None:
        why = "as asked" if options.label else "it looks like the class; --label takes another one, --no-labels none"
        section["label"] = Choice(label, why)
    asked = options.categories
    categories = {column: "as asked" if column in asked else "" for column in (*survey.categories, *asked)}
    without = {column: why for column, why in without.items() if column not in asked}
    if without:
        section["without"] = Choice(list(without), ", ".join(f"{column} {why}" for column, why in without.items()))
        say("without  " + ", ".join(f"{column} ({why})" for column, why in without.items()))
    section |= _kinds(survey, categories, {*without, label})
    for kind in KINDS:
        if kind in section:
            say(f"{kind:10} {', '.join(_names(section[kind]))}")
    section |= {
        "held_out": Choice(0.1, "share of each class for measurements, never trained on"),
        "jitter": Choice(options.jitter, "noise, in standard deviations of each column"),
    }
    points = table_set(_checked(TableSection, section))
    guessed = "" if options.label else " (a guess: --label COLUMN takes another, --no-labels none)"
    names = [column.name for column, _ in encoded_columns(points.config.table)] or points.config.columns
    say(f"columns  {', '.join(names)}" + (f"; the label is {label}{guessed}" if label else ""))
    _report(points, say, options.label)
    return section, points


def _refuse_contradictions(options: InitOptions) -> None:
    """Raises RecipeError if a column of a table is to be two things."""
    label, without, categories = options.label, set(options.without), set(options.categories)
    if label is not None and not options.labels:
        raise RecipeError(f"--label {label} and --no-labels: give one of them")
    for column in (without & {label}) | (categories & {label}) | (without & categories):
        asked = {"--label": column == label, "--without": column in without, "--category": column in categories}
        given = " and ".join(f"{option} {column}" for option, is_given in asked.items() if is_given)
        raise RecipeError(f"{given}: give one of them")


def _names(choice: Choice) -> list[str]:
    return [str(name) for name in choice.value] if isinstance(choice.value, list) else []


def _kinds(survey: TableSurvey, categories: Collection[str], other: Collection[str | None]) -> Choices:
    """The columns that are no plain numbers, by what they are; `other` are not trained on."""
    dates, whole = ([name for name in names if name not in categories] for names in (survey.dates, survey.whole))
    missing = {name: count for name, count in survey.missing.items() if name not in categories}
    found = {"categories": list(categories), "dates": dates, "whole": whole, "missing": list(missing)}
    counts = ", ".join(f"{name} in {count:,} of {survey.lines:,} lines" for name, count in missing.items())
    kinds = {kind: [name for name in names if name not in other] for kind, names in found.items()}
    return {kind: Choice(names, counts if kind == "missing" else KINDS[kind]) for kind, names in kinds.items() if names}


def _checked(section: type[S], choices: Choices) -> S:
    """The section [data]. Raises RecipeError for impossible options."""
    try:
        return section.model_validate(plain(choices))
    except ValidationError as error:
        raise RecipeError(
            "; ".join(
                f"--{e['loc'][0]} {e['input']!r}: {e['msg'].removeprefix('Value error, ')}" for e in error.errors()
            )
        ) from error


def _report(data: FiniteSet, say: Say, label: str | None = None) -> None:
    """Print how the data were understood, the numbers of rows and classes, the rows left out, and the copies.

    label  the column that was asked for as the class
    """
    for note in data.notes:
        say(f"note     {note}")
    for line in (*count_lines(data), *left_out_lines(data, label)):
        say(line)
    distinct = np.unique(np.concatenate([digests(part.rows.numpy()) for part in (data.examples, data.held_out)]))
    copies = len(data.examples) + len(data.held_out) - len(distinct)
    if copies:
        say(f"copies: {copies:,} {'is' if copies == 1 else 'are'} the same as another")
    beside = "" if data.unlabelled is None else f", {len(data.unlabelled):,} more without a label"
    say(f"{len(data.examples):,} to train on{beside}, {len(data.held_out):,} held out")
    if near := near_copies(data):
        say(
            f"near copies: {near:,} that are held out look like one that is trained on, so that figures flatter the "
            f"model; --group REGEX keeps together what belongs together"
        )


def written_path(path: str) -> str:
    """A path as text in TOML. Raises DataError if it is not UTF-8."""
    if printable(path) != path:
        raise DataError(f"{printable(path)}: the name is not UTF-8: rename it, or give another way to it")
    return path
