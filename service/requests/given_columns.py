"""What a request gives of points: values by column, as dimensions."""

from collections.abc import Mapping, Sequence

import numpy as np

from model.data import DataConfig
from model.measured_columns import Cell, CellError, number_of
from model.table import CategoryColumn, LabelColumn, encoded_columns
from service.requests.labels import index_of, index_of_name, listed
from service.requests.model_choice import Choice


class GivenError(ValueError):
    """What cannot be given; the message says what may be.

    column  whose value it is; None where the names are wrong
    """

    def __init__(self, message: str, column: str | None = None):
        super().__init__(message)
        self.column = column


def givable_columns(data: DataConfig) -> Sequence[str]:
    """The names of what can be given."""
    return [column.name for column, _ in encoded_columns(data.table)] if data.table else data.columns


def given_example(data: DataConfig) -> dict[str, Cell]:
    """Something that the first column can have."""
    if not data.table:
        return {"0": data.mean[0]}
    column, _ = encoded_columns(data.table)[0]
    if isinstance(column, CategoryColumn):
        return {"0": column.categories[0]}
    (cell,) = column.cells(np.array([[column.fill, 0.0]]))
    return {"0": cell}


def given_values(choice: Choice) -> dict[int, float]:
    """Dimension → value, of what is given. Raises GivenError."""
    given, data = choice.request.given, choice.config.data
    if not given or data.kind != "points":
        return {}
    columns = givable_columns(data)
    found = {name: index_of(name, columns) for name in given}
    if None in found.values() or len(set(found.values())) < len(found):
        classes = [column.name for column in data.table if isinstance(column, LabelColumn) and column.name in given]
        asked = f"; {classes[0]} is the class, which `label` asks for" if classes else ""
        raise GivenError(f"one or more of {listed(columns)}, each once{asked}")
    values: dict[int, float] = {}
    for name, index in found.items():
        if index is not None:
            values |= _dimensions(data, name, index, given[name])
    return values


def given_trouble(choice: Choice) -> GivenError | None:
    """Why what is given cannot be; None where it can."""
    try:
        given_values(choice)
    except GivenError as error:
        return error
    return None


def _dimensions(data: DataConfig, name: str, index: int, cell: Cell) -> Mapping[int, float]:
    """Of one column. Raises GivenError."""
    try:
        if not data.table:
            return {index: number_of(cell)}
        column, place = encoded_columns(data.table)[index]
        if isinstance(column, CategoryColumn) and isinstance(cell, str):
            category = index_of_name(cell, column.categories)
            cell = cell if category is None else column.categories[category]
        return dict(enumerate(column.dimensions_of(cell), start=place.start))
    except CellError as error:
        raise GivenError(str(error), name) from error
