"""A text file → rows of cells: its delimiter, quotes, names of columns, and the style of their numbers."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TextIO

import clevercsv

from training.data.file_kinds import encoding_of
from training.data.names import printable
from training.data.numerals import POINTS, Evidence, Style, styles
from training.data.table_head import Line, find_head
from training.data.training_set import DataError

DELIMITERS = [",", ";", "\t", "|", " "]
EXAMINED, EXAMINED_CHARACTERS = 200, 2**16  # lines, and characters, from which the format is found
SEPARATOR = re.compile(r'\s*"?sep=(.)"?\s*', re.IGNORECASE)  # Excel's first line


@dataclass
class Columns:
    """The format of a table and the names of its columns.

    names      of the columns that have one; without a head they are x0, x1, …
    places     where these columns stand, among `width` of them
    delimiter  " " stands for any run of blanks
    head       the line with the names; 0 if there is none
    above      lines above the table, which are no part of it
    """

    path: Path
    encoding: str
    names: tuple[str, ...]
    places: tuple[int, ...]
    width: int
    delimiter: str
    quote: str
    escape: str | None
    head: int
    above: int
    _rows_above: int = field(repr=False, default=0)

    @property
    def headed(self) -> bool:
        return self.head > 0

    def lines(self) -> Iterator[Line]:
        """Each line below the head that is not empty, with the cells of the named columns. Raises DataError."""
        try:
            with self.path.open(newline="", encoding=self.encoding) as file:
                rows = _rows(file, self.delimiter, self.quote, self.escape)
                for number, cells, problem in islice(rows, self._rows_above, None):
                    if not problem and len(cells) == self.width + 1 and not cells[-1]:
                        cells = cells[:-1]  # a delimiter at the end of the line
                    if problem:
                        yield Line(number, [], problem)
                    elif len(cells) != self.width:
                        yield Line(number, [], f"{len(cells)} cells, not {self.width}")
                    else:
                        yield Line(number, [cells[place] for place in self.places])
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise unreadable(self.path, error) from error

    @cached_property
    def evidence(self) -> tuple[Evidence, ...]:
        """What the cells of each column show about its numbers; the whole file is read for it. Raises DataError."""
        found = tuple(Evidence() for _ in self.names)
        for line in self.lines():
            for column, cell in zip(found, line.cells, strict=False):
                column.add(cell)
        return found

    @cached_property
    def styles(self) -> tuple[Style, ...]:
        """How each column writes its numbers. Raises DataError."""
        return tuple(styles(self.evidence, self.delimiter))

    def format(self) -> Iterator[str]:
        """What was understood of the file, in sentences for the user. Raises DataError."""
        between = {" ": "blanks", "\t": "tabs"}.get(self.delimiter, repr(self.delimiter))
        columns = f"{between} between {self.width:,} columns" if self.width > 1 else "one column"
        encoding = "" if self.encoding == "utf-8-sig" else f"{self.encoding.upper()}, "
        head = f"names in line {self.head}" if self.headed else "no line of names"
        above = "" if not self.above else f"; what stands above it is no part of it ({self.above} lines)"
        yield f"{encoding}{columns}, {head}{above}"
        nameless = self.width - len(self.places)
        if nameless:
            where = ", ".join(str(place + 1) for place in range(self.width) if place not in self.places)
            yield f"left out: column {where}, which has no name"
        yield from self.notes()

    def notes(self) -> Iterator[str]:
        """How numbers are written, and what is lost of them, in sentences for the user. Raises DataError."""
        by_style: dict[str, list[str]] = {}
        for name, style, evidence in zip(self.names, self.styles, self.evidence, strict=True):
            if style != POINTS:
                by_style.setdefault(str(style), []).append(name)
            if evidence.zeros:
                by_style.setdefault("numbers that lose their leading zeros", []).append(name)
            if evidence.long:
                by_style.setdefault("whole numbers of so many digits that they are rounded", []).append(name)
        for what, names in by_style.items():
            yield f"{what}: {', '.join(names)}"


def read_columns(path: Path) -> Columns:
    """Find the format of a table. Raises DataError."""
    if not path.is_file():
        raise DataError(f"{printable(path)}: no such file: give a .csv, or a folder of images")
    try:
        with path.open("rb") as file:
            encoding = encoding_of(path, file.read(512))
        with path.open(newline="", encoding=encoding) as text:
            lines = list(islice(text, EXAMINED))
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error
    if not any(line.strip() for line in lines):
        raise DataError(f"{printable(path)}: the file is empty")
    sample = "".join(lines)[:EXAMINED_CHARACTERS]
    if sample.lstrip()[0] in "{<" or re.match(r"\s*\[\s*[\[{]", sample):
        what = "XML or HTML" if sample.lstrip()[0] == "<" else "JSON"
        raise DataError(f"{printable(path)}: this is {what}: save it as CSV")
    delimiter, quote, escape = _dialect(lines, sample)
    rows = list(_rows(io.StringIO(sample, newline=""), delimiter, quote, escape))
    if len(sample) == EXAMINED_CHARACTERS and len(rows) > 1:
        rows.pop()  # it may be cut
    if not rows:
        raise DataError(f"{printable(path)}: the file is empty but for delimiters")
    return _columns(path, encoding, rows, delimiter, quote, escape)


def _columns(
    path: Path, encoding: str, rows: Sequence[Line], delimiter: str, quote: str, escape: str | None
) -> Columns:
    """The columns of a table, by its first rows. Raises DataError if two have the same name."""
    counts = Counter(len(row.cells) for row in rows[1:] if not row.problem) or Counter([len(rows[0].cells)])
    width = max(counts, key=lambda count: (counts[count], count))
    if not width:
        raise DataError(f"{printable(path)}: no CSV that can be read: line {rows[0].number}: {rows[0].problem}")
    names, head, above, start = find_head(rows, width)
    names = [re.sub(r"\s*[\r\n]+\s*", " ", name) for name in names]
    twice = [name for name, count in Counter(names).items() if count > 1 and name]
    if twice:
        raise DataError(
            f"{printable(path)}: each column wants a name of its own, and {twice[0]!r} stands above "
            f"{names.count(twice[0])}: rename them in line {head}"
        )
    places = tuple(place for place, name in enumerate(names) if name)
    named = tuple(names[place] for place in places)
    return Columns(path, encoding, named, places, width, delimiter, quote, escape, head, above, start)


def _dialect(lines: Sequence[str], sample: str) -> tuple[str, str, str | None]:
    """(delimiter, quote, escape) of the first lines of a file."""
    separator = SEPARATOR.fullmatch(lines[0])
    if separator is not None:
        return separator.group(1), '"', None
    try:
        found = clevercsv.Sniffer().sniff(sample, delimiters=DELIMITERS)
    except clevercsv.Error:
        found = None
    if found is None:
        return ",", '"', None
    delimiter = found.delimiter or ","
    filled = [line.strip() for line in lines if line.strip()]
    commas_are_decimal = all(re.fullmatch(r"[+-]?[0-9]+(,[0-9]+)?", line) for line in filled[1:])
    if delimiter == "," and "," in sample and "," not in filled[0] and commas_are_decimal:
        delimiter = ";"  # one column, under its name
    return delimiter, found.quotechar or '"', found.escapechar or None


def _rows(file: TextIO, delimiter: str, quote: str, escape: str | None) -> Iterator[Line]:
    """The rows of a file that are not empty; a line that `sep=` takes is none."""
    blanks = delimiter == " "
    text = (line.expandtabs(1).strip() + "\n" for line in file) if blanks else iter(file)
    reader = csv.reader(
        text, delimiter=delimiter, quotechar=quote, escapechar=escape, skipinitialspace=True, strict=True
    )
    while True:
        before = reader.line_num
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            many = f", up to line {reader.line_num}" if reader.line_num > before + 1 else ""
            yield Line(before + 1, [], f"no CSV that can be read: {error}{many}")
            continue
        cells = [cell.strip() for cell in cells]
        if any(cells) and not (before == 0 and SEPARATOR.fullmatch(delimiter.join(cells))):
            yield Line(reader.line_num, cells)


def unreadable(path: Path, error: Exception) -> DataError:
    """The error of a file that cannot be read."""
    if isinstance(error, UnicodeDecodeError):
        return DataError(f"{printable(path)}: not UTF-8 (byte {error.start}): save it as UTF-8")
    if isinstance(error, UnicodeError):
        return DataError(f"{printable(path)}: broken UTF-16: save it as UTF-8")
    return DataError(f"{printable(path)}: no CSV that can be read: {error}")
