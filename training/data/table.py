"""A CSV of numbers → a training set of points. Every line is checked."""

import hashlib
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from model.conditions import NO_LABEL
from model.data import LARGEST, MAX_DIMENSIONS
from training.data.augment import point_augmentation
from training.data.class_folders import LONGEST_LABEL
from training.data.data_section import TableSection
from training.data.names import natural, printable
from training.data.numerals import NO_CLASS, is_missing
from training.data.parquet_table import columns_of
from training.data.split import digests, discrete_rows, held_out
from training.data.table_config import encoded_config, may_be_moved, number_config
from training.data.table_encoding import Reader, unseen_in_training
from training.data.table_file import Columns
from training.data.table_readers import encoding_of, readers
from training.data.training_set import DataError, Examples, FiniteSet, LeftOut

FEWEST = 16  # points to train on
MOST_NUMBERS = 2**27  # in a table: a gigabyte of memory
WORDS = 0.5  # share of a column's values: a column with more words is no column of numbers


@dataclass
class Points:
    """The usable lines of a table.

    numbers   float64 [n, d]
    labels    the class of each point; empty without a column of classes
    lines     the line number of each point
    left_out  the other lines
    varied    columns whose numbers differ somewhere in the file, in usable lines or in others
    """

    numbers: NDArray[np.float64]
    labels: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    varied: set[str] = field(default_factory=set)


def table_set(section: TableSection) -> FiniteSet:
    """The table's points; `left_out` names the lines that cannot be used.

    Raises DataError if the table cannot be trained on.
    """
    columns = columns_of(Path(section.table))
    numeric = _numeric(columns, section)
    encoding = encoding_of(columns, section) if section.encoded else None
    points = _read(columns, readers(columns, numeric, encoding), section.label)
    _check(columns, numeric, points)
    if encoding is not None:
        points.numbers = encoding.in_order([columns.names[index] for index in numeric], points.numbers)
    classes = tuple(sorted(set(points.labels), key=natural))
    number = {name: index for index, name in enumerate(classes)}
    labels = np.array([number[label] for label in points.labels] or [NO_LABEL] * len(points.numbers), dtype=np.int64)
    of_categories = [columns.names[index] in section.categories for index in numeric]
    held = _split(points.numbers, labels, section.held_out, of_categories)
    if not held.any():
        why = "nearly all lines are copies of a few"
        for index, of_category, values in zip(numeric, of_categories, points.numbers.T, strict=True):
            if of_category and 2 * len(np.unique(values)) > len(values):
                why = f"nearly every line has a category of its own in {columns.names[index]!r}: leave that column out"
        raise DataError(f"{printable(columns.path)}: nothing can be held out to measure with: {why}")
    if encoding is None:
        config = number_config(columns, numeric, section, points.numbers[~held], classes)
    else:
        config, points.numbers = encoded_config(columns, numeric, section, encoding, points.numbers, held, classes)
    numbers = points.numbers if config.needs_float64 else points.numbers.astype(np.float32)

    def examples(part: NDArray[np.bool_]) -> Examples:
        return Examples(
            torch.from_numpy(numbers[part]),
            torch.from_numpy(labels[part]),
            tuple(f"line {points.lines[index]}" for index in np.flatnonzero(part).tolist()),
        )

    jitter = section.jitter * torch.tensor(config.std) * torch.tensor(may_be_moved(config))
    identity = hashlib.sha256(numbers.tobytes() + labels.tobytes() + held.tobytes()).hexdigest()[:16]
    return FiniteSet(
        config, examples(~held), examples(held), point_augmentation(jitter), tuple(points.left_out), identity
    )


def _numeric(columns: Columns, section: TableSection) -> list[int]:
    """The indices of the columns of numbers that are trained on. Raises DataError."""
    for name in (*section.without, *([] if section.label is None else [section.label])):
        if name not in columns.names:
            raise DataError(f"{printable(columns.path)}: no column {name!r}; there are: {', '.join(columns.names)}")
    other = {*section.without, section.label}
    numeric = [index for index, name in enumerate(columns.names) if name not in other]
    if not numeric:
        raise DataError(
            f"{printable(columns.path)}: 0 columns of numbers are left of {', '.join(columns.names)} "
            f"({next(columns.format())}): points have 1 … {MAX_DIMENSIONS}"
        )
    if len(numeric) > MAX_DIMENSIONS:
        raise DataError(
            f"{printable(columns.path)}: {len(numeric)} columns of numbers: points have 1 … {MAX_DIMENSIONS}; leave "
            f"some out: --without COLUMN (without = […] in the recipe)"
        )
    return numeric


def _read(columns: Columns, read: Mapping[int, Reader], label: str | None) -> Points:
    """The usable lines; lines without a number or a label are left out. `read` has the columns that are trained on, by
    their indices. Raises DataError for a column of words."""
    label_column = None if label is None else columns.names.index(label)
    numbers, points, lines = array("d"), Points(np.empty(0)), 0
    unusable: dict[str, list[str]] = {}  # column → the first reason, once for each of its unusable cells
    first: dict[int, float] = {}
    for number, cells, problem in columns.lines():
        lines += 1
        name = f"line {number}"
        if problem:
            points.left_out.append(LeftOut(name, problem))
            continue
        values = {index: reader(cells[index]) for index, reader in read.items()}
        for index, value in values.items():
            if value is not None and value != first.setdefault(index, value):
                points.varied.add(columns.names[index])
        wrong = [index for index, value in values.items() if value is None or abs(value) > LARGEST]
        for index in wrong:
            reasons = unusable.setdefault(columns.names[index], [f"{name}: {_no_number(cells[index])}"])
            reasons.append(reasons[0])
        if wrong:
            column = columns.names[wrong[0]]
            points.left_out.append(
                LeftOut(
                    name, f"column {column!r}: {_no_number(cells[wrong[0]])}", tuple(columns.names[i] for i in wrong)
                )
            )
        elif label_column is not None and cells[label_column] in NO_CLASS:
            said = f" ({cells[label_column]!r})" if cells[label_column] else ""
            points.left_out.append(LeftOut(name, f"column {label!r}: no label{said}", (columns.names[label_column],)))
        else:
            numbers.extend(value for value in values.values() if value is not None)
            points.lines.append(number)
            if label_column is not None:
                points.labels.append(cells[label_column])
        if len(numbers) > MOST_NUMBERS:
            raise DataError(f"{printable(columns.path)}: more than {MOST_NUMBERS:,} numbers: train on fewer lines")
    for column, reasons in unusable.items():
        if len(reasons) - 1 > WORDS * lines:
            raise DataError(
                f"{printable(columns.path)}: column {column!r} is no column of numbers ({reasons[0]}; so are "
                f"{len(reasons) - 1:,} of {lines:,} lines): if it is the class, --label {column} (label = in the "
                f"recipe); else leave it out, --without {column} (without = […])"
            )
    points.numbers = np.frombuffer(numbers, dtype=np.float64).reshape(-1, len(read))
    return points


def _check(columns: Columns, numeric: Sequence[int], points: Points) -> None:
    """Raises DataError if there are too few points, a constant column or an impossible class."""
    path, n = printable(columns.path), len(points.numbers)
    if not n and not points.left_out:
        raise DataError(f"{path}: too few usable lines to learn from, 0: there is no line below the names")
    if n < FEWEST:
        because = "".join(f"; {one.name}: {one.reason}" for one in points.left_out[:3])
        raise DataError(
            f"{path}: too few usable lines to learn from, {n}: give at least {FEWEST}, better some hundreds{because}"
        )
    empty = [columns.names[numeric[index]] for index in np.flatnonzero(np.isnan(points.numbers).all(0)).tolist()]
    if empty:
        raise DataError(f"{path}: column {empty[0]!r} has no value in any usable line: --without {empty[0]}")
    same: list[int] = np.flatnonzero((points.numbers == points.numbers[0]).all(0)).tolist()
    constant = [columns.names[numeric[index]] for index in same]
    without = " ".join(f"--without {name}" for name in constant)
    names = ", ".join(map(repr, constant))
    if points.varied.intersection(constant):
        ((column, count),) = Counter(name for one in points.left_out for name in one.columns).most_common(1)
        raise DataError(
            f"{path}: the usable lines all have the same number in {names}; the others are left out, {count:,} of them "
            f"for column {column!r}: take them by --without {column}, or leave out what is the same: {without} "
            f"(without = […] in the recipe)"
        )
    if constant:
        raise DataError(
            f"{path}: the same number in every line of {names}: there is nothing to learn; leave it out: {without} "
            f"(without = […] in the recipe)"
        )
    _check_classes(path, points)


def _check_classes(path: str, points: Points) -> None:
    """Raises DataError if a class has no printable name or a single line, or if no class has two different points."""
    counts = Counter(points.labels)
    different = set(zip(points.labels, map(bytes, points.numbers), strict=True)) if points.labels else set()
    if points.labels and len(different) == len(counts):
        raise DataError(
            f"{path}: all lines of a class are the same point, so there is nothing to learn beyond the class: take no "
            f"column for it, --no-labels (no label = in the recipe)"
        )
    for name, count in counts.items():
        if not name.isprintable() or len(name) > LONGEST_LABEL:
            raise DataError(f"{path}: {name[:80]!r} is no label: at most {LONGEST_LABEL} plain letters")
        if count < 2:
            line = points.lines[points.labels.index(name)]
            raise DataError(
                f"{path}: line {line}: nothing else has the label {name!r}; one line is no class to learn: add some "
                f"(one is held out), take it away, or take no column for the class: --no-labels (no label = in the "
                f"recipe)"
            )


def _split(
    numbers: NDArray[np.float64], labels: NDArray[np.int64], share: float, of_categories: Sequence[bool]
) -> NDArray[np.bool_]:
    """Which lines are held out, bool [n]; every column keeps two different numbers, and each category, to train on."""
    held = held_out(digests(numbers), labels, share, discrete_rows(numbers))
    for column in numbers.T:
        seen = column[~held]
        if (seen == seen[0]).all():  # the rare other numbers are all held out
            held &= column == seen[0]
    while (unseen := held & unseen_in_training(numbers, held, of_categories)).any():
        held &= ~unseen
    return held


def _no_number(cell: str) -> str:
    """The reason why a cell is no number."""
    if not cell:
        return "nothing there"
    if is_missing(cell):
        return f"{cell!r} is no number"
    try:
        return f"{cell[:40]!r} is too large for float32" if abs(float(cell)) > LARGEST else _unread(cell)
    except ValueError:
        return _unread(cell)


def _unread(cell: str) -> str:
    return f"{cell[:40]!r} is no number"
