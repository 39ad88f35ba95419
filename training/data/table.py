"""A CSV of numbers → a training set of points. Every line is checked."""

import csv
import hashlib
import math
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from model.conditions import NO_LABEL
from model.data import MAX_DIMENSIONS, DataConfig
from training.data.augment import point_augmentation
from training.data.data_section import TableSection
from training.data.image_folder import LONGEST_LABEL, natural, printable
from training.data.split import digests, discrete_rows, held_out
from training.data.training_set import DataError, Examples, FiniteSet, LeftOut

FEWEST = 16  # points to train on
MOST_NUMBERS = 2**28  # in a table: a gigabyte of memory
WORDS = 0.5  # share of a column's values: a column with more words is no column of numbers
DELIMITERS = ",;\t"
LARGEST = float(np.finfo(np.float32).max)  # tables are held in float32


@dataclass
class Columns:
    """The head of a table: the names of its columns, and the format of its lines.

    headed  the first line has the names; otherwise they are x0, x1, …
    """

    path: Path
    names: tuple[str, ...]
    delimiter: str
    headed: bool

    def lines(self) -> Iterator[tuple[int, list[str]]]:
        """(line number in the file, cells) of each line that is not empty. Raises DataError."""
        try:
            with self.path.open(newline="", encoding="utf-8-sig") as file:
                reader = csv.reader(file, delimiter=self.delimiter, strict=True)
                if self.headed:
                    next(reader)
                for cells in reader:
                    if any(cell.strip() for cell in cells):
                        yield reader.line_num, [cell.strip() for cell in cells]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise _unreadable(self.path, error) from error


@dataclass
class Points:
    """The usable lines of a table.

    numbers   float32 [n, d]
    labels    the class of each point; empty without a column of classes
    lines     the line number of each point
    left_out  the other lines
    """

    numbers: NDArray[np.float32]
    labels: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def table_set(section: TableSection) -> FiniteSet:
    """The table's points; `left_out` names the lines that cannot be used.

    Raises DataError if the table cannot be trained on.
    """
    columns = read_columns(Path(section.table))
    numeric = _numeric(columns, section)
    points = _read(columns, numeric, section.label)
    _check(columns, numeric, points)
    classes = tuple(sorted(set(points.labels), key=natural))
    number = {name: index for index, name in enumerate(classes)}
    labels = np.array([number[label] for label in points.labels] or [NO_LABEL] * len(points.numbers), dtype=np.int64)
    held = _split(points.numbers, labels, section.held_out)
    trained = points.numbers[~held].astype(np.float64)
    mean, std = trained.mean(0), trained.std(0)
    config = DataConfig(
        dataset=section.dataset,
        kind="points",
        shape=(len(numeric),),
        labels=classes,
        names=tuple(columns.names[index] for index in numeric) if columns.headed else (),
        mean=tuple(float(f"{value:.6g}") for value in mean),
        std=tuple(float(f"{value:.6g}") for value in std),
    )

    def examples(part: NDArray[np.bool_]) -> Examples:
        return Examples(
            torch.from_numpy(points.numbers[part]),
            torch.from_numpy(labels[part]),
            tuple(f"line {points.lines[index]}" for index in np.flatnonzero(part).tolist()),
        )

    jitter = section.jitter * torch.tensor(config.std)
    identity = hashlib.sha256(points.numbers.tobytes() + labels.tobytes() + held.tobytes()).hexdigest()[:16]
    return FiniteSet(
        config, examples(~held), examples(held), point_augmentation(jitter), tuple(points.left_out), identity
    )


def read_columns(path: Path) -> Columns:
    """The head of a table. Raises DataError."""
    if not path.is_file():
        raise DataError(f"{printable(path)}: no such file: give a .csv, or a folder of images")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            line = next((line for line in file if line.strip()), "")
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error
    if not line:
        raise DataError(f"{printable(path)}: the file is empty")
    delimiter = max(DELIMITERS, key=line.count)
    cells = [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter))]
    headed = not any(is_number(cell) for cell in cells)
    names = tuple(cells) if headed else tuple(f"x{number}" for number in range(len(cells)))
    twice = [name for name, count in Counter(names).items() if count > 1 or not name]
    if twice:
        raise DataError(f"{printable(path)}: each column wants a name of its own, and {twice[0]!r} is none")
    return Columns(path, names, delimiter, headed)


def _numeric(columns: Columns, section: TableSection) -> list[int]:
    """The indices of the columns of numbers that are trained on. Raises DataError."""
    for name in (*section.without, *([] if section.label is None else [section.label])):
        if name not in columns.names:
            raise DataError(f"{printable(columns.path)}: no column {name!r}; there are: {', '.join(columns.names)}")
    other = {*section.without, section.label}
    numeric = [index for index, name in enumerate(columns.names) if name not in other]
    if not 1 <= len(numeric) <= MAX_DIMENSIONS:
        raise DataError(
            f"{printable(columns.path)}: {len(numeric)} columns of numbers: points have 1 … {MAX_DIMENSIONS}; leave "
            f"some out: --without COLUMN (without = […] in the recipe)"
        )
    return numeric


def _read(columns: Columns, numeric: Sequence[int], label: str | None) -> Points:
    """The usable lines; lines without a number or a label are left out. Raises DataError for a column of words."""
    label_column = None if label is None else columns.names.index(label)
    numbers = array("f")
    points = Points(np.empty(0, dtype=np.float32))
    words: Counter[str] = Counter()
    lines = 0
    for line, cells in columns.lines():
        lines += 1
        name = f"line {line}"
        if len(cells) != len(columns.names):
            points.left_out.append(LeftOut(name, f"{len(cells)} cells, not {len(columns.names)}"))
            continue
        wrong = [columns.names[index] for index in numeric if not is_number(cells[index])]
        words.update(wrong)
        if wrong:
            why = _no_number(cells[columns.names.index(wrong[0])])
            points.left_out.append(LeftOut(name, f"column {wrong[0]!r}: {why}"))
        elif label_column is not None and not cells[label_column]:
            points.left_out.append(LeftOut(name, f"column {label!r}: no label"))
        else:
            numbers.extend(float(cells[index]) for index in numeric)
            points.lines.append(line)
            if label_column is not None:
                points.labels.append(cells[label_column])
        if len(numbers) > MOST_NUMBERS:
            raise DataError(f"{printable(columns.path)}: more than {MOST_NUMBERS:,} numbers: train on fewer lines")
    for name, count in words.items():
        if count > WORDS * lines:
            raise DataError(
                f"{printable(columns.path)}: column {name!r} is no column of numbers ({points.left_out[0].name}: "
                f"{points.left_out[0].reason}): if it is the class, --label {name} (label = in the recipe); else leave "
                f"it out, --without {name} (without = […])"
            )
    points.numbers = np.frombuffer(numbers, dtype=np.float32).reshape(-1, len(numeric))
    return points


def _check(columns: Columns, numeric: Sequence[int], points: Points) -> None:
    """Raises DataError if there are too few points, a constant column or an impossible class."""
    n = len(points.numbers)
    if n < FEWEST:
        because = "".join(f"; {one.name}: {one.reason}" for one in points.left_out[:3])
        raise DataError(
            f"{printable(columns.path)}: too few usable lines to learn from, {n}: give at least {FEWEST}, better some "
            f"hundreds{because}"
        )
    constant = (points.numbers == points.numbers[0]).all(0)
    if constant.any():
        raise _constant(columns, [columns.names[numeric[index]] for index in np.flatnonzero(constant).tolist()])
    if points.labels and len(set(zip(points.labels, map(bytes, points.numbers), strict=True))) == len(
        set(points.labels)
    ):
        raise DataError(
            f"{printable(columns.path)}: all lines of a class are the same point, so there is nothing to learn beyond "
            f"the class: take no column for it, --no-labels (no label = in the recipe)"
        )
    for name, count in Counter(points.labels).items():
        if not name.isprintable() or len(name) > LONGEST_LABEL:
            raise DataError(
                f"{printable(columns.path)}: {name[:80]!r} is no label: at most {LONGEST_LABEL} plain letters"
            )
        if count < 2:
            line = points.lines[points.labels.index(name)]
            raise DataError(
                f"{printable(columns.path)}: line {line}: nothing else has the label {name!r}; one line is no class "
                f"to learn: add some (one is held out), or take it away"
            )


def _split(numbers: NDArray[np.float32], labels: NDArray[np.int64], share: float) -> NDArray[np.bool_]:
    """Which lines are held out, bool [n]; every column keeps two different numbers to train on."""
    held = held_out(digests(numbers), labels, share, discrete_rows(numbers))
    for column in numbers.T:
        seen = column[~held]
        if (seen == seen[0]).all():  # the rare other numbers are all held out
            held &= column == seen[0]
    return held


def _constant(columns: Columns, names: Sequence[str]) -> DataError:
    without = " ".join(f"--without {name}" for name in names)
    return DataError(
        f"{printable(columns.path)}: the same number in every line of {', '.join(map(repr, names))}: there is nothing "
        f"to learn; leave it out: {without} (without = […] in the recipe)"
    )


def is_number(cell: str) -> bool:
    """Is the cell a number, and finite in float32?"""
    try:
        return abs(float(cell)) <= LARGEST
    except ValueError:
        return False


def _no_number(cell: str) -> str:
    """The reason why a cell is no number."""
    if not cell:
        return "nothing there"
    try:
        large = math.isfinite(float(cell))
    except ValueError:
        large = False
    return f"{cell[:40]!r} is too large for float32" if large else f"{cell[:40]!r} is no number"


def _unreadable(path: Path, error: Exception) -> DataError:
    if isinstance(error, UnicodeDecodeError):
        return DataError(f"{printable(path)}: not UTF-8 (byte {error.start}): save it as UTF-8")
    return DataError(f"{printable(path)}: no CSV that can be read: {error}")
