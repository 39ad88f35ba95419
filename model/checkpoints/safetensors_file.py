"""A safetensors file, read one tensor at a time: its header tells what is in it before any memory is taken.

The bytes are read, not mapped: a file that is written over meanwhile would end the process (SIGBUS).
"""

import contextlib
import math
import os
from collections.abc import Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import Field, TypeAdapter, ValidationError
from torch import Tensor

from model.strict_config import StrictConfig

HEADER_LENGTH = 8  # bytes that tell how long the header is
LARGEST_HEADER = 16 << 20  # bytes, of some 100,000 tensors

DType = Literal["F64", "F32", "F16", "BF16", "I64", "I32", "U8"]
_DTYPES: Mapping[DType, torch.dtype] = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "U8": torch.uint8,
}  # fmt: skip


class TensorFileError(Exception):
    """A file that holds no tensors, or not all that it says; the message says why."""


class _Entry(StrictConfig):
    """Of the header: the tensor's bytes stand at data_offsets, from the header's end."""

    dtype: DType
    shape: tuple[Annotated[int, Field(ge=0)], ...]
    data_offsets: tuple[int, int]

    @property
    def length(self) -> int:
        return math.prod(self.shape) * _DTYPES[self.dtype].itemsize


_HEADER = TypeAdapter(dict[str, _Entry | dict[str, str]])


class TensorFile:
    """An open file of so many bytes. By name of its tensors, `shapes` are theirs, and `spans` where their bytes stand:
    (offset from the file's beginning, length)."""

    def __init__(self, file: BufferedReader, size: int, start: int, entries: Mapping[str, _Entry]):
        """start  of the tensors' bytes in the file"""
        self.size = size
        self.shapes = {name: entry.shape for name, entry in entries.items()}
        self.spans = {name: (start + entry.data_offsets[0], entry.length) for name, entry in entries.items()}
        self._file, self._entries = file, entries

    def read(self, name: str) -> Tensor:
        """Raises TensorFileError where the file has become shorter, and OSError."""
        entry, (offset, length) = self._entries[name], self.spans[name]
        content = torch.empty(length, dtype=torch.uint8)
        self._file.seek(offset)
        if self._file.readinto(content.numpy().data) != length:
            raise TensorFileError("it is cut short")
        return content.view(_DTYPES[entry.dtype]).view(entry.shape)


@contextlib.contextmanager
def opened_tensors(path: Path) -> Iterator[TensorFile]:
    """Raises TensorFileError where it is no safetensors file or is cut short, and OSError."""
    with path.open("rb") as file:
        yield _opened(file, os.fstat(file.fileno()).st_size)


def _opened(file: BufferedReader, size: int) -> TensorFile:
    length = int.from_bytes(file.read(HEADER_LENGTH), "little")
    start = HEADER_LENGTH + length
    if start > size:
        raise TensorFileError("it is no safetensors file, or it is cut short")
    if length > LARGEST_HEADER:
        raise TensorFileError(f"its header takes {length:,} bytes; at most {LARGEST_HEADER:,} are read")
    try:
        found = _HEADER.validate_json(file.read(length))
    except ValidationError as error:
        first = error.errors()[0]
        reason = f"{'.'.join(map(str, first['loc'][:1]))} {first['msg']}".strip()
        raise TensorFileError(f"its header is none of a safetensors file: {reason}") from error
    entries = {name: entry for name, entry in found.items() if isinstance(entry, _Entry)}
    if found.keys() - entries.keys() - {"__metadata__"}:
        raise TensorFileError("its header is none of a safetensors file")
    end = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1].data_offsets):
        begin = end
        end += entry.length
        if entry.data_offsets != (begin, end):
            raise TensorFileError(f"its {name} is not where its shape and the tensors before it put it")
    if start + end != size:
        raise TensorFileError(f"it should have {start + end:,} bytes, and has {size:,}")
    return TensorFile(file, size, start, entries)
