"""A data set that is made without a server: its engine, and a folder with what was asked and the files so far."""

import asyncio
import contextlib
import fcntl
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from service.checkpoints.catalog import Catalog
from service.engine.engine import Engine
from service.engine.hardware import DEFAULT_THREADS, keep_freed_memory, one_thread_here
from service.engine.options import EngineOptions
from service.engine.snapshot import EngineSnapshot
from service.http.problems import Problem
from service.jobs.acceptance import accept
from service.jobs.arithmetic import arithmetic_of
from service.jobs.chunk import OtherBytes, Written
from service.jobs.formats.registry import FORMATS
from service.jobs.job_request import JobRequest
from service.jobs.results import FolderResults
from service.jobs.specification import Specification
from service.metrics import Metrics
from service.requests.model_choice import choose
from service.requests.schemas import SampleRequest

NOTE = "data_set.json"
"""In the folder: what was asked, and what it came to."""
UNFINISHED = re.compile(rf"({re.escape(NOTE)}|part-.*)\.unfinished")
READY_POLL = 0.05  # seconds


class DataSetFolder:
    """It has no files that are not whole. Processes that share the work out among themselves may fill it together."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._results = FolderResults(folder.parent)

    def begun(self) -> bool:
        """Does the folder say what was asked?"""
        return (self._folder / NOTE).exists()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else on this machine fills it so until the context ends. Raises Problem where somebody does, OSError
        where it cannot be made."""
        self._folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(self._folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._lock(lock)
            try:
                yield
            finally:
                with contextlib.suppress(OSError):  # it has files
                    self._folder.rmdir()
        finally:
            os.close(lock)

    def _lock(self, folder: int) -> None:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            told = f"another process fills {self._folder}: wait for it, or name another folder"
            raise Problem(422, told) from error
        except OSError:  # a file system without locks
            pass

    def specification(
        self, body: JobRequest, catalog: Catalog, checkpoints: Path, engine: EngineSnapshot
    ) -> Specification:
        """What the folder was begun with, else the body in full. Raises Problem or OtherBytes where it cannot go on,
        OSError where it cannot be written."""
        asked = body.model_dump(exclude_unset=True, mode="json")
        if not self.begun():
            new = accept(catalog, checkpoints, engine, body)
            content = {"asked": asked, "specification": new.model_dump(mode="json")}
            self._put(NOTE, (json.dumps(content, indent=1) + "\n").encode())
            return new
        known, begun = self._note()
        if known != asked:
            raise Problem(422, f"{self._folder} holds another data set: see its {NOTE}; name another folder")
        if begun.model_key not in engine.keys:
            raise OtherBytes(f"the weights of {begun.model} changed: other samples would come; name another folder")
        now = arithmetic_of(engine, begun.model_key)
        if now != begun.arithmetic:
            raise OtherBytes(f"{self._folder} was begun by {begun.arithmetic}, and this is {now}: name another folder")
        return begun

    def _note(self) -> tuple[Any, Specification]:
        """What was asked, and what it came to. Raises Problem where the note says neither."""
        try:
            content = json.loads((self._folder / NOTE).read_text())
            return content["asked"], Specification.model_validate(content["specification"])
        except (ValueError, KeyError, TypeError) as error:
            told = f"{self._folder / NOTE} was not written by this version, or is broken: name another folder"
            raise Problem(422, told) from error

    def sweep(self) -> None:
        """Delete what was left half written. Only while nobody else writes."""
        self._results.remove(self._folder.name, lambda name: not UNFINISHED.fullmatch(name))

    def left(self, specification: Specification) -> list[int]:
        """The first rows of the chunks that are not there."""
        form = FORMATS[specification.format]
        ending = (form.labels_ending if specification.labelled else None) or form.ending  # of what is written last
        return [
            first
            for first in specification.firsts()
            if not (self._folder / (specification.part(first) + ending)).exists()
        ]

    def put(self, part: str, written: Written) -> None:
        """Write a chunk's files; durable when this returns. Raises OSError."""
        for ending, content in written.files.items():
            self._put(part + ending, content)

    def _put(self, name: str, content: bytes) -> None:
        self._results.put(self._folder.name, name, content)


async def ready_engine(catalog: Catalog, body: JobRequest, device: str, threads: int) -> Engine:
    """An engine with the models that the data set may need. Whoever asked stops it.

    device   as the service has it
    threads  of the network; 0 is one a core

    Raises Problem where there is no such model, OSError where none can be made ready.
    """
    one_thread_here()
    keep_freed_memory()
    served = choose(catalog, SampleRequest(dataset=body.dataset, model=body.model)).served
    wanted = [served] if body.model else catalog.datasets[body.dataset]
    options = EngineOptions(device=device, threads=threads or DEFAULT_THREADS)
    engine = Engine({one.key: one for one in wanted}, options, Metrics())
    engine.start()
    try:
        while not engine.snapshot().ready:
            if (failure := engine.snapshot().failure) is not None:
                raise OSError(f"no model could be made ready: {failure}")
            await asyncio.sleep(READY_POLL)
    except BaseException:
        engine.stop(0)
        raise
    return engine
