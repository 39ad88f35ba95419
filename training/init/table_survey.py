"""Survey a table before anything is proposed: which column is the class, and which are no numbers to learn."""

from collections import Counter
from dataclasses import dataclass, field

from training.data.numerals import is_missing, is_quantity
from training.data.table_file import Columns

MOST_VALUES = 1000  # different values of a column that are counted: a column with so many is no class
CLASS_NAMES = {"label", "labels", "class", "classes", "target", "category", "species"}
MEMBERS = 10  # lines of a class of numbers, on average: a column of fewer is rather measured than a class
WORDS, EMPTY = 0.2, 0.5  # share of a column's lines: more words, or more cells without a value, make it no numbers


@dataclass(frozen=True)
class TableSurvey:
    """The survey of a table.

    label    the column that seems to be the class
    unsure   a column that would be the class, but for a value that is in one line alone
    without  columns that are no numbers to learn, with the reason
    """

    columns: Columns
    lines: int
    label: str | None
    unsure: str | None = None
    without: dict[str, str] = field(default_factory=dict)


@dataclass
class _Column:
    """What the cells of a column are.

    values      how often each is there, of the first MOST_VALUES different ones
    missing     cells that say there is no value
    words       cells that are neither a number nor missing
    quantities  words that are a number for people, such as 5%
    quantity    one of them
    counting    numbers from which the column may count the lines
    """

    values: Counter[str] = field(default_factory=Counter)
    missing: int = 0
    words: int = 0
    quantities: int = 0
    quantity: str = ""
    counting: set[int] = field(default_factory=lambda: {0, 1})

    def reason(self, lines: int) -> str | None:
        """Why the column is no numbers to learn; None if it is."""
        if self.missing == lines:
            return "is empty"
        if self.missing > EMPTY * lines:
            return f"has no value in {self.missing:,} of {lines:,} lines"
        if len(self.values) < 2:
            return "is the same in every line"
        if self.words > WORDS * lines:
            return f"writes its numbers as {self.quantity!r}: digits alone are read" if self.measured else "holds words"
        return "counts the lines" if self.counting and lines > 1 else None

    @property
    def measured(self) -> bool:
        """Are its words rather numbers than classes?"""
        return self.quantities > self.words / 2

    @property
    def single(self) -> str | None:
        """A value that is in one line alone."""
        return next((value for value, count in self.values.items() if count == 1), None)


def survey_table(columns: Columns, label: str | None = None) -> TableSurvey:
    """label  the column of classes, if it is known. Raises DataError if the table cannot be read."""
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
            if cell and (cell in column.values or len(column.values) < MOST_VALUES):
                column.values[cell] += 1
            if column.counting:
                column.counting = {start for start in column.counting if cell == str(lines + start)}
        lines += 1
    unsure = None
    if label is None:
        label = _likely_class(found, lines)
        if label is not None and found[label].single is not None:
            label, unsure = None, label
    reasons = {name: column.reason(lines) for name, column in found.items() if name != label}
    return TableSurvey(
        columns, lines, label, unsure, without={name: reason for name, reason in reasons.items() if reason is not None}
    )


def _likely_class(columns: dict[str, _Column], lines: int) -> str | None:
    """The column that seems to be the class: one that is called so, or the only one of words, if its values repeat."""
    few = min(lines / 2, MOST_VALUES - 1)
    repeated = [name for name, column in columns.items() if 1 < len(column.values) <= few]
    of_words = [name for name in repeated if columns[name].words > lines / 2 and not columns[name].measured]
    named = [
        name
        for name in repeated
        if name.lower() in CLASS_NAMES and (name in of_words or len(columns[name].values) * MEMBERS <= lines)
    ]
    may_be = named or of_words
    return may_be[0] if len(may_be) == 1 else None
