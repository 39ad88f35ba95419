"""How a column writes its numbers: with a decimal point or comma, with or without separators of thousands."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

MISSING = {
    "",
    "-",
    "--",
    ".",
    "?",
    "*",
    "na",
    "n/a",
    "nan",
    "null",
    "none",
    "nil",
    "missing",
    "#n/a",
    "inf",
    "-inf",
    "∞",
}
"""What stands for no value, in small letters."""

NO_CLASS = {"", "NA", "N/A", "#N/A", "NaN", "nan", "null", "NULL"}
"""What stands for no class: as programs write it. `none`, `-` and `Na` may be classes."""

_EXPONENT = r"(?:[eE][+-]?[0-9]+)?"
_POINT = re.compile(rf"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+){_EXPONENT}")
_COMMA = re.compile(rf"[+-]?(?:[0-9]*,[0-9]+|[0-9]+,){_EXPONENT}")
_QUANTITY = re.compile(
    r"[+\-\u2212]?\s?[$€£¥₹]?\s?[0-9]+(?:[.,'\u2019\s_][0-9]+)*(?:[eEdD][+\-\u2212]?[0-9]+)?\s?[%‰°$€£¥₹]?"
)
_GROUPED_BY_COMMAS = re.compile(r"[+-]?[1-9][0-9]{0,2}(?:,[0-9]{3})+(?:\.[0-9]*)?")
_GROUPED_BY_POINTS = re.compile(r"[+-]?[1-9][0-9]{0,2}(?:\.[0-9]{3})+(?:,[0-9]*)?")


@dataclass(frozen=True)
class Style:
    """A way to write numbers. Groups of thousands are optional in it, and always of three digits."""

    decimal: str = "."
    thousands: str = ""

    def value(self, cell: str) -> float | None:
        """The finite number in a cell, or None. Only plain digits count: `1_000` is a name, and `nan` is no number."""
        plain = cell
        if self.thousands and self.thousands in cell:
            grouped = _GROUPED_BY_COMMAS if self.thousands == "," else _GROUPED_BY_POINTS
            if not grouped.fullmatch(cell):
                return None
            plain = plain.replace(self.thousands, "")
        if self.decimal == ",":
            if "." in plain:
                return None
            plain = plain.replace(",", ".", 1)
        if not _POINT.fullmatch(plain):
            return None
        number = float(plain)
        return number if math.isfinite(number) else None

    def __str__(self) -> str:
        if self.decimal == ",":
            return "decimal commas"
        return "commas between thousands" if self.thousands else "decimal points"


POINTS = Style()
COMMAS = Style(",", ".")
THOUSANDS = Style(".", ",")


def is_missing(cell: str) -> bool:
    """Does the cell say that there is no value?"""
    return cell.lower() in MISSING


def is_numeral(cell: str) -> bool:
    """Is the cell a number in some style?"""
    return any(style.value(cell) is not None for style in (POINTS, COMMAS, THOUSANDS))


def is_quantity(cell: str) -> bool:
    """Is the cell a number for people, though perhaps in no style: with a unit's sign (5%, $5), a typographic minus,
    Fortran's exponent (1.5D+00), or blanks, apostrophes or underscores between its digits?"""
    return _QUANTITY.fullmatch(cell) is not None


@dataclass
class Evidence:
    """What the cells of a column show about its style, and what reading them as numbers loses.

    comma      numbers that only a decimal comma explains: 1,5 or 0,125
    grouped    numbers that only commas between thousands explain: 1,234.5 or 1,234,567
    point      numbers that only a decimal point explains: 1.5
    ambiguous  numbers like 1,004
    large      numbers of four digits or more without any separator
    zeros      numbers that begin with a 0 before another digit, as postcodes do
    long       whole numbers that float64 cannot hold
    """

    comma: bool = False
    grouped: bool = False
    point: bool = False
    ambiguous: bool = False
    large: bool = False
    zeros: bool = False
    long: bool = False

    def add(self, cell: str) -> None:
        if "," in cell:
            by_commas = _GROUPED_BY_COMMAS.fullmatch(cell) is not None
            by_comma = _COMMA.fullmatch(cell) is not None or _GROUPED_BY_POINTS.fullmatch(cell) is not None
            self.comma |= by_comma and not by_commas
            self.grouped |= by_commas and not by_comma
            self.ambiguous |= by_comma and by_commas
        elif "." in cell:
            self.point |= _POINT.fullmatch(cell) is not None and _GROUPED_BY_POINTS.fullmatch(cell) is None
        elif len(cell) > 1 and cell.isascii() and cell.isdigit():
            self.large |= len(cell) > 3
            self.zeros |= cell[0] == "0"
            self.long |= len(cell) > 15 and (len(cell) > 300 or int(float(cell)) != int(cell))


def styles(columns: Sequence[Evidence], delimiter: str) -> list[Style]:
    """The style of each column.

    delimiter  between cells; where no other column shows what 1,004 means, it is 1004 if commas separate cells, else
               1.004

    A column whose numbers contradict each other keeps decimal points, and its other cells are no numbers.
    """
    found = [_style(column) for column in columns]
    known = {style for style in found if style not in (None, POINTS)}
    guessed = THOUSANDS if delimiter == "," else COMMAS
    default = guessed if not known else known.pop() if len(known) == 1 else POINTS
    return [
        style or (POINTS if default == THOUSANDS and column.large else default)
        for style, column in zip(found, columns, strict=True)
    ]


def _style(column: Evidence) -> Style | None:
    """The style that a column shows by itself; None if all its commas are ambiguous."""
    if column.comma:
        return POINTS if column.grouped or column.point else COMMAS
    if column.grouped or (column.ambiguous and column.point):
        return THOUSANDS
    return None if column.ambiguous else POINTS
