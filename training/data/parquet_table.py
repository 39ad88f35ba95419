"""A Parquet file → rows of cells, as `Columns` has them of a text file."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from training.data.names import printable
from training.data.table_file import Columns, read_columns
from training.data.table_head import Line
from training.data.training_set import DataError

MAGIC = b"PAR1"
BYTES = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_binary_view)


@dataclass
class ParquetColumns(Columns):
    """Columns of lists, structs or bytes are left out."""

    def lines(self) -> Iterator[Line]:
        """A row is a line, from 1 on. Raises DataError."""
        number = 0
        try:
            for batch in pq.ParquetFile(self.path).iter_batches(columns=list(self.names)):
                columns = [batch.column(name).to_pylist() for name in self.names]
                for cells in zip(*columns, strict=True):
                    number += 1
                    yield Line(number, [_text(cell) for cell in cells])
        except (OSError, pa.ArrowException, OverflowError, ValueError) as error:  # dates beyond the year 9999, too
            raise _unreadable(self.path, error) from error

    def format(self) -> Iterator[str]:
        yield f"Parquet, {self.width:,} columns"
        if self.width > len(self.names):
            yield f"left out: {self.width - len(self.names):,} columns that hold lists, structs or bytes"
        yield from self.notes()


def columns_of(path: Path) -> Columns:
    """Of a Parquet file or a text file. Raises DataError."""
    try:
        with path.open("rb") as file:
            is_parquet = file.read(len(MAGIC)) == MAGIC
    except OSError:
        is_parquet = False  # the other reader says why
    return parquet_columns(path) if is_parquet else read_columns(path)


def parquet_columns(path: Path) -> ParquetColumns:
    """Raises DataError."""
    try:
        schema = pq.read_schema(path)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error
    plain = [place for place, field in enumerate(schema) if not _is_nested(field.type)]
    names = tuple(schema.names[place] for place in plain)
    if len(set(names)) < len(names) or not all(names):
        raise DataError(f"{printable(path)}: each column wants a name of its own")
    return ParquetColumns(path, "", names, tuple(plain), len(schema), ",", '"', None, 1, 0)


def _is_nested(kind: pa.DataType) -> bool:
    return pa.types.is_nested(kind) or any(is_bytes(kind) for is_bytes in BYTES)


def _text(cell: object) -> str:
    """As a CSV would have it."""
    if cell is None:
        return ""
    if isinstance(cell, datetime):
        return cell.replace(tzinfo=None).isoformat(" ", "seconds")  # `strftime` writes the year 900 with three digits
    return cell.isoformat() if isinstance(cell, date) else str(cell).strip()


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(f"{printable(path)}: no Parquet that can be read: {error}")
