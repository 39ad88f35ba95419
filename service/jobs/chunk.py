"""A part of a job that is made, written and published as one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from service.engine.job import Job, JobFailed, Samples


class OtherBytes(Exception):
    """The models of now would not give what the job's rows so far are part of; the reason is for people."""


@dataclass(frozen=True, eq=False)
class Written:
    """The content of a chunk's files, by the ending of their names, and how many of its rows are in them."""

    files: dict[str, bytes]
    kept: int


class Chunk(Protocol):
    """Rows first … first + rows of a job."""

    @property
    def first(self) -> int: ...

    @property
    def rows(self) -> int: ...

    @property
    def jobs(self) -> Sequence[Job]:
        """What the engine is to sample."""

    @property
    def samples(self) -> Mapping[str, int]:
        """How many there are, by data set."""

    def written(self, found: Sequence[Samples | JobFailed]) -> Written:
        """Its files, of what the engine made of `jobs`. Not for the event loop. Raises JobFailed where the whole job
        fails of one."""


class Template(Protocol):
    """A job as the models of now resolve it, from which any of its chunks is made."""

    def chunk(self, first: int) -> Chunk:
        """The chunk that begins at that row. Not for the event loop."""
