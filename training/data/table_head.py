"""Which row of a table names its columns, and where its lines begin."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from training.data.numerals import is_missing, is_numeral


class Line(NamedTuple):
    """A line of a table: its number in the file, and its cells, or the reason why it has none."""

    number: int
    cells: list[str]
    problem: str = ""


class Head(NamedTuple):
    """The head of a table.

    names  one for each column; "" for a column without a name; x0, x1, … if no row has the names
    line   the number of the line with the names; 0 if there is none
    above  rows above the table, which are no part of it
    start  rows before the first line of the table
    """

    names: list[str]
    line: int
    above: int
    start: int


def find_head(rows: Sequence[Line], width: int) -> Head:
    """The head of a table of `width` columns, by its first rows."""
    comments = next((i for i, row in enumerate(rows) if not (row.cells and row.cells[0].startswith("#"))), len(rows))
    names = _uncommented(rows[comments - 1].cells) if comments else []
    if len(names) == width and not any(map(is_numeral, names)):  # as NumPy writes them
        return Head(names, rows[comments - 1].number, comments - 1, comments)
    above = comments
    while above + 1 < len(rows) and _is_title(rows, above, width):
        above += 1
    if above < len(rows):
        below = [row.cells for row in rows[above + 1 :] if len(row.cells) == width]
        top = _fitted(rows[above].cells, below, width)
        if len(top) == width and _is_head(top, below):
            return Head(top, rows[above].number, above, above + 1)
    return Head([f"x{number}" for number in range(width)], 0, above, above)


def _fitted(top: list[str], below: Sequence[Sequence[str]], width: int) -> list[str]:
    """The first row with a cell for each column below it, if it may be the head of these."""
    if len(top) == width + 1 and not top[-1]:
        return top[:-1]
    if len(top) != width - 1 or not below:
        return top
    if not any(cells[-1] for cells in below):  # lines end with a delimiter
        return [*top, ""]
    # R writes the names of rows, or their numbers, and nothing above them.
    first = [cells[0] for cells in below]
    numbered = all(is_numeral(cell) for cell in first)
    return ["", *top] if len(set(first)) == len(first) and (not numbered or _counts(first)) else top


def _is_title(rows: Sequence[Line], index: int, width: int) -> bool:
    """Is a row above the table: of too few or too many cells, or with its first cell alone above names?"""
    cells, below = rows[index].cells, rows[index + 1].cells
    if len(cells) != width:
        rest = [row.cells for row in rows[index + 1 :] if len(row.cells) == width]
        return len(below) != width or len(_fitted(cells, rest, width)) != width or _is_head(below, rest[1:])
    words = not any(is_numeral(cell) for cell in (cells[0], *below))
    return width > 1 and words and not any(cells[1:]) and len(below) == width and sum(map(bool, below)) > 1


def _uncommented(cells: Sequence[str]) -> list[str]:
    """The cells of a comment, without its mark."""
    first = cells[0].lstrip("#").strip()
    return [first, *cells[1:]] if first else list(cells[1:])


def _is_head(top: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Does the row name the columns below it?

    It does if it has no number at all, if words stand above columns of numbers, or if its numbers count on (years) and
    those of no row below do.
    """
    named = [place for place, cell in enumerate(top) if cell]
    numerals = [place for place in named if is_numeral(top[place])]
    if not numerals or not below:
        return len(numerals) < len(named) and (not below or any(not is_missing(top[place]) for place in named))
    columns = [[cells[place] for cells in below if not is_missing(cells[place])] for place in range(len(top))]
    numbers = [sum(map(is_numeral, column)) for column in columns]
    numeric = [place for place in named if numbers[place] > len(columns[place]) / 2]
    words = [place for place in named if place not in numerals and not is_missing(top[place])]
    above_numbers = [place for place in words if place in numeric]
    if any(numbers[place] == len(columns[place]) for place in above_numbers) or 2 * len(above_numbers) > len(numeric):
        return True
    for place in words:  # a word above a column of classes, and none of these
        values = Counter(columns[place])
        if values and min(values.values()) > 1 and top[place] not in values:
            return True
    if not _counts([top[place] for place in numerals]):
        return False
    if any(_counts([cells[place] for place in numerals]) for cells in below):
        return False
    fractions = all(any(not cell.lstrip("+-").isdigit() for cell in columns[place]) for place in numerals)
    return len(numerals) > 2 or (fractions and top[0] == "0" and len(numerals) == len(top))


def _counts(cells: Sequence[str]) -> bool:
    """Are these whole numbers, each one more than the last?"""
    if not all(cell.isascii() and cell.isdigit() and len(cell) < 16 for cell in cells):
        return False
    numbers = [int(cell) for cell in cells]
    return numbers == list(range(numbers[0], numbers[0] + len(numbers)))
