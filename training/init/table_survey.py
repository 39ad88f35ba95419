"""Survey a table before anything is proposed: which column is the class, and which are no numbers to learn."""

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal

from training.data.numerals import is_missing, is_quantity
from training.data.table_encoding import date_format
from training.data.table_file import Columns

MOST_VALUES = 1000  # different values of a column that are counted: a column with so many is no class
CLASS_NAMES = {"label", "labels", "class", "classes", "target", "category", "species"}
WHOLE = re.compile(r"[+-]?[0-9]{1,15}")
DATE_LIKE = re.compile(r"[0-9]{1,4}([-/.])[0-9]{1,2}\1[0-9]{1,4}")
DATE = "2024-12-31"
MEMBERS = 10  # lines of a class of numbers, on average: a column of fewer is rather measured than a class
WORDS = 0.2  # share of a column's lines: a column of more words is no column of numbers
EMPTY = 0.95  # share of a column's lines: a column of more missing values is left out
MOST_CATEGORIES = 50  # of a column of words that is encoded


@dataclass(frozen=True)
class TableSurvey:
    """The survey of a table.

    label       the column that seems to be the class
    unsure      a column that would be the class, but for a value that is in one line alone
    without     columns that cannot be learned, with the reason
    categories  columns of words, of few different ones
    dates       columns of dates
    whole       columns of whole numbers
    missing     columns with missing values, with how many
    """

    columns: Columns
    lines: int
    label: str | None
    unsure: str | None = None
    without: dict[str, str] = field(default_factory=dict)
    categories: tuple[str, ...] = ()
    dates: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()
    missing: dict[str, int] = field(default_factory=dict)


@dataclass
class _Column:
    """What the cells of a column are.

    values      how often each is there, of the first MOST_VALUES different ones
    missing     cells that say there is no value
    words       cells that are neither a number nor missing
    quantities  words that are a number for people, such as 5%
    quantity    one of them
    counting    numbers from which the column may count the lines
    fractions   numbers that are not whole, or not written so
    """

    values: Counter[str] = field(default_factory=Counter)
    missing: int = 0
    words: int = 0
    quantities: int = 0
    quantity: str = ""
    counting: set[int] = field(default_factory=lambda: {0, 1})
    fractions: int = 0

    def kind(self, lines: int) -> Literal["number", "whole", "date", "category"]:
        """What the column is, where it can be learned."""
        if self.words > WORDS * (lines - self.missing):
            present = [cell for cell in self.values if not is_missing(cell)]
            return "date" if date_format(present) is not None else "category"
        constant = self.missing and sum(not is_missing(cell) for cell in self.values) == 1
        return "category" if constant else "number" if self.fractions else "whole"

    def reason(self, lines: int) -> str | None:
        """Why the column cannot be learned; None if it can."""
        if self.missing == lines:
            return "is empty"
        if self.missing > EMPTY * lines:
            return f"has no value in {self.missing:,} of {lines:,} lines"
        if len(self.values) < 2 and not self.missing:
            return "is the same in every line"
        kind = self.kind(lines)
        if kind == "category" and self.words and self.measured:
            return f"writes its numbers as {self.quantity!r}: digits alone are read"
        most = min(MOST_CATEGORIES, (lines - self.missing) / 2 + 1)
        if kind == "category" and len(self.values) > most:
            many = f"{'more than ' * (len(self.values) >= MOST_VALUES)}{len(self.values):,}"
            if all(DATE_LIKE.match(cell) for cell in self.values if not is_missing(cell)):
                return (
                    f"holds dates, it seems, in a form that is not read: write them as {DATE}, or that with T19:30:00"
                )
            return f"holds {many} different words in {lines:,} lines, as names or free text do"
        return "counts the lines" if self.counting and lines > 1 else None

    @property
    def measured(self) -> bool:
        """Are its words rather numbers than classes?"""
        return self.quantities > self.words / 2

    @property
    def single(self) -> str | None:
        """A value that is in one line alone."""
        return next((value for value, count in self.values.items() if count == 1), None)


def survey_table(
    columns: Columns, label: str | None = None, labelled: bool = True, no_class: Collection[str] = ()
) -> TableSurvey:
    """Raises DataError if the table cannot be read.

    label     the column of classes, if it is known
    labelled  guess the column of classes, where it is not known
    no_class  columns that are none in any case
    """
    found = {name: _Column() for name in columns.names}
    lines = 0
    for _, cells, problem in columns.lines():
        if problem:
            continue
        for column, cell, style in zip(found.values(), cells, columns.styles, strict=True):
            missing = is_missing(cell)
            column.missing += missing
            if not missing and style.value(cell) is None:
                column.words += 1
                if is_quantity(cell):
                    column.quantities += 1
                    column.quantity = column.quantity or cell
            elif not missing and not WHOLE.fullmatch(cell):
                column.fractions += 1
            if cell and (cell in column.values or len(column.values) < MOST_VALUES):
                column.values[cell] += 1
            if column.counting:
                column.counting = {start for start in column.counting if cell == str(lines + start)}
        lines += 1
    unsure = None
    if label is None and labelled:
        label = _likely_class({name: column for name, column in found.items() if name not in no_class}, lines)
        if label is not None and found[label].single is not None:
            label, unsure = None, label
    reasons = {name: None if name == label else column.reason(lines) for name, column in found.items()}
    kinds = {name: found[name].kind(lines) for name, reason in reasons.items() if reason is None}
    return TableSurvey(
        columns,
        lines,
        label,
        unsure,
        without={name: reason for name, reason in reasons.items() if reason is not None},
        categories=tuple(name for name, kind in kinds.items() if kind == "category"),
        dates=tuple(name for name, kind in kinds.items() if kind == "date"),
        whole=tuple(name for name, kind in kinds.items() if kind == "whole"),
        missing={name: found[name].missing for name in kinds if found[name].missing},
    )


def _likely_class(columns: dict[str, _Column], lines: int) -> str | None:
    """The column that seems to be the class: one that is called so, or the only one of words, if its values repeat.

    Dates are no class, however often they repeat.
    """
    few = min(lines / 2, MOST_VALUES - 1)
    repeated = [
        name for name, column in columns.items() if 1 < len(column.values) <= few and column.kind(lines) != "date"
    ]
    of_words = [name for name in repeated if columns[name].words > lines / 2 and not columns[name].measured]
    named = [
        name
        for name in repeated
        if name.lower() in CLASS_NAMES and (name in of_words or len(columns[name].values) * MEMBERS <= lines)
    ]
    may_be = named or of_words
    return may_be[0] if len(may_be) == 1 else None
