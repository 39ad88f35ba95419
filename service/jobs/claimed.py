"""A job that this process works on."""

import asyncio
from collections import deque
from dataclasses import dataclass, field

from service.checkpoints.catalog import Catalog
from service.jobs.chunk import Template
from service.jobs.specification import InChunks
from service.jobs.store_records import JobRecord


@dataclass(eq=False)
class Claimed:
    """A job that this process works on.

    left     the first rows of the chunks that nobody makes at present
    working  the tasks that make some
    """

    record: JobRecord
    specification: InChunks
    left: deque[int]
    working: set[asyncio.Task[None]] = field(default_factory=set)
    template: tuple[Catalog, Template] | None = None
    paused: str | None = None
