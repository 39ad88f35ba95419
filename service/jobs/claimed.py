"""A job that this process works on."""

import asyncio
import hashlib
import re
from collections import deque
from dataclasses import dataclass, field

from service.checkpoints.catalog import Catalog
from service.jobs.chunk import Chunk, Template, Written
from service.jobs.specification import InChunks
from service.jobs.store_records import JobRecord, StoredFile

STORED = re.compile(r"[0-9]+-([0-9]+)\.")  # as `files_of` names it: the first row, the fence, the ending


@dataclass(eq=False)
class Claimed:
    """A job that this process works on.

    left     the first rows of the chunks that nobody makes at present
    working  the tasks that make some
    paused   why what was made cannot be kept, if it cannot
    """

    record: JobRecord
    specification: InChunks
    left: deque[int]
    working: set[asyncio.Task[None]] = field(default_factory=set)
    template: tuple[Catalog, Template] | None = None
    paused: str | None = None

    def files_of(self, chunk: Chunk, written: Written) -> list[StoredFile]:
        """What the store is told of a chunk's files."""
        return [
            StoredFile(
                name=self.specification.part(chunk.first) + ending,
                first=chunk.first,
                stored=f"{chunk.first:08d}-{self.record.fence}{ending}",
                bytes=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
            )
            for ending, content in written.files.items()
        ]


def fence_of(stored: str) -> int:
    """The fence that a file was written under, by its name among the results; 0 of a name without one."""
    named = STORED.match(stored)
    return 0 if named is None else int(named[1])
