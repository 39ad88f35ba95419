"""How the cells of each column that is trained on are read."""

from collections.abc import Mapping, Sequence

from model.measured_columns import DateFormat
from training.data.data_section import TableSection
from training.data.names import printable
from training.data.numerals import is_missing
from training.data.table_encoding import (
    Categories,
    Reader,
    TableEncoding,
    date_format,
    date_reader,
    number_reader,
)
from training.data.table_file import Columns
from training.data.training_set import DataError


def encoding_of(columns: Columns, section: TableSection) -> TableEncoding:
    """Raises DataError for a column that there is not, or whose cells are no dates."""
    for name in (*section.categories, *section.dates, *section.whole, *section.missing):
        if name not in columns.names:
            raise DataError(f"{printable(columns.path)}: no column {name!r}; there are: {', '.join(columns.names)}")
    places = {name: columns.names.index(name) for name in section.dates}
    present: dict[str, list[str]] = {name: [] for name in places}
    for line in columns.lines() if places else ():
        for name, place in places.items():
            if not line.problem and not is_missing(line.cells[place]):
                present[name].append(line.cells[place])
    formats: dict[str, DateFormat] = {}
    for name, cells in present.items():
        form = date_format(cells)
        if form is None:
            raise DataError(
                f"{printable(columns.path)}: column {name!r} is no column of dates in one format, such as 2024-12-31: "
                f"--without {name}"
            )
        formats[name] = form
    return TableEncoding(section, formats, {name: Categories({}) for name in section.categories})


def readers(columns: Columns, trained: Sequence[int], encoding: TableEncoding | None) -> Mapping[int, Reader]:
    """By the index of each column that is trained on."""
    return {index: _reader(columns, index, encoding) for index in trained}


def _reader(columns: Columns, index: int, encoding: TableEncoding | None) -> Reader:
    name, style = columns.names[index], columns.styles[index]
    if encoding is None:
        return style.value
    if name in encoding.categories:
        return encoding.categories[name].read
    missing = name in encoding.section.missing
    if name in encoding.formats:
        return date_reader(encoding.formats[name], missing)
    return number_reader(style.value, missing)
