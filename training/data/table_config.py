"""What the rows of a table are, by those that are trained on."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.data import FINEST, MAX_ENCODED, DataConfig
from model.table import CategoryColumn, TableColumn, encoded_columns
from training.data.data_section import TableSection
from training.data.names import printable
from training.data.table_encoding import TableEncoding, label_column, scales
from training.data.table_file import Columns
from training.data.training_set import DataError


def number_config(
    columns: Columns,
    numeric: Sequence[int],
    section: TableSection,
    trained: NDArray[np.float64],
    classes: tuple[str, ...],
) -> DataConfig:
    """Of a table whose columns are numbers, by the rows [n, d] that are trained on. Raises DataError."""
    mean, std = _moments(columns, numeric, trained)
    return DataConfig(
        dataset=section.dataset,
        kind="points",
        shape=(len(numeric),),
        labels=classes,
        names=tuple(columns.names[index] for index in numeric) if columns.headed else (),
        mean=mean,
        std=std,
    )


def encoded_config(
    columns: Columns,
    numeric: Sequence[int],
    section: TableSection,
    encoding: TableEncoding,
    numbers: NDArray[np.float64],
    held: NDArray[np.bool_],
    classes: tuple[str, ...],
) -> tuple[DataConfig, NDArray[np.float64]]:
    """(what the rows are, the rows [n, d]) of a table that is encoded in dimensions. Raises DataError."""
    path = printable(columns.path)
    names = [columns.names[index] for index in numeric]
    own = encoding.columns(names, numbers[~held])
    table: list[TableColumn] = list(own)
    if section.label is not None:
        place = sum(index < columns.names.index(section.label) for index in numeric)
        table.insert(place, label_column(section.label, classes))
    dimensions = tuple(name for column in own for name in column.dimensions)
    if len(dimensions) > MAX_ENCODED:
        most = max(own, key=lambda column: len(column.dimensions))
        raise DataError(
            f"{path}: {len(dimensions)} dimensions, and at most {MAX_ENCODED} are trained on: {most.name!r} takes "
            f"{len(most.dimensions)} of them; leave it out: --without {most.name}"
        )
    if twice := [name for name, count in Counter(dimensions).items() if count > 1]:
        raise DataError(f"{path}: a column is called {twice[0]!r}, as a dimension of another one is: rename it")
    rows = encoding.encoded(own, numbers)
    mean, std = scales(table, rows[~held])
    config = DataConfig(
        dataset=section.dataset,
        kind="points",
        shape=(len(dimensions),),
        labels=classes,
        names=dimensions,
        mean=mean,
        std=std,
        table=tuple(table),
    )
    return config, rows


def may_be_moved(config: DataConfig) -> list[float]:
    """By jitter: 1 for dimensions of numbers; 0 for those that say which category, or what is missing."""
    (d,) = config.shape
    moved = [0.0 if config.table else 1.0] * d
    for column, place in encoded_columns(config.table):
        if not isinstance(column, CategoryColumn):
            moved[place.start] = 1.0
    return moved


def _moments(
    columns: Columns, numeric: Sequence[int], trained: NDArray[np.float64]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(mean, standard deviation) of each column of [n, d]: to six digits, and to a millionth of the deviation."""
    means, deviations = trained.mean(0).tolist(), trained.std(0).tolist()
    for index, deviation in zip(numeric, deviations, strict=True):
        if deviation < FINEST:
            raise DataError(
                f"{printable(columns.path)}: the numbers of {columns.names[index]!r} differ by less than "
                f"{FINEST:g}: give it in another unit"
            )
    decimals = [6 - math.floor(math.log10(deviation)) for deviation in deviations]
    mean = tuple(round(value, digits) for value, digits in zip(means, decimals, strict=True))
    return mean, tuple(float(f"{value:.6g}") for value in deviations)
