"""Rows side by side, as a batch whose fields some rows have and others lack."""

from collections.abc import Callable, Sequence
from dataclasses import Field, dataclass, fields, replace
from typing import Any, Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class RowBatch:
    """Rows side by side. A field is a tensor [rows, …], another RowBatch, or None where no row has it.

    A tensor's metadata (`neutral`) declare the value of a row that does not have the field.
    """

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))

    def __getitem__(self, index: slice | Tensor) -> Self:
        """The rows of a slice (views), or those at the indices [k] int64 (copies)."""
        return self._mapped(lambda values: values[index])

    @classmethod
    def cat(cls, batches: Sequence[Self]) -> Self:
        """The rows of all batches, in order."""
        joined: list[Tensor | RowBatch | None] = []
        for spec in fields(cls):
            columns = [getattr(batch, spec.name) for batch in batches]
            like = next((column for column in columns if column is not None), None)
            if like is None:
                joined.append(None)
                continue
            for index, column in enumerate(columns):
                if column is None:
                    columns[index] = _neutral_rows(like, spec, len(batches[index]))
            joined.append(like.cat(columns) if isinstance(like, RowBatch) else torch.cat(columns))
        return cls(*joined)

    def written(self, span: slice, rows: Self) -> Self:
        """The same with these rows in the span. Writes in place; only a field that was None gets new memory."""
        changed = {}
        for spec in fields(self):
            ours, theirs = getattr(self, spec.name), getattr(rows, spec.name)
            if theirs is None and ours is not None:
                theirs = _neutral_rows(ours, spec, len(rows))
            elif ours is None and theirs is not None:
                ours = _neutral_rows(theirs, spec, len(self))
            if isinstance(ours, RowBatch):
                ours = ours.written(span, theirs)
            elif ours is not None:
                ours[span] = theirs
            changed[spec.name] = ours
        return type(self)(**changed)

    def compact(self) -> Self:
        """The same rows; an optional field is None where every row has its neutral value."""
        columns = {spec.name: (spec, getattr(self, spec.name)) for spec in fields(self)}
        absent = [name for name, (spec, it) in columns.items() if spec.default is None and _is_neutral(it, spec)]
        return replace(self, **dict.fromkeys(absent)) if absent else self

    def _mapped(self, function: Callable[[Tensor], Tensor]) -> Self:
        mapped = []
        for spec in fields(self):
            column = getattr(self, spec.name)
            if column is not None:
                column = column._mapped(function) if isinstance(column, RowBatch) else function(column)
            mapped.append(column)
        return type(self)(*mapped)


def neutral(value: float | tuple[float, ...]) -> dict[str, float | tuple[float, ...]]:
    """Metadata of a field: the value of a row that does not have it."""
    return {"neutral": value}


def _neutral_rows(like: Tensor | RowBatch, spec: Field[Any], rows: int) -> Tensor | RowBatch:
    """Rows of the same shape that do not have the field, in memory of their own."""
    if isinstance(like, RowBatch):
        return type(like)(*(_neutral_rows(getattr(like, each.name), each, rows) for each in fields(like)))
    return like.new_tensor(spec.metadata["neutral"]).expand(rows, *like.shape[1:]).clone()


def _is_neutral(column: Tensor | RowBatch | None, spec: Field[Any]) -> bool:
    if isinstance(column, RowBatch):
        return all(_is_neutral(getattr(column, each.name), each) for each in fields(column))
    return column is None or bool((column == column.new_tensor(spec.metadata["neutral"])).all())
