"""`spirale-sample`: a data set into a folder, without a server. Started again, it goes on where it was."""

import argparse
import asyncio
import json
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from pydantic import ValidationError

from service.checkpoints.catalog import Catalog
from service.checkpoints.folder import catalog_of, served_folder
from service.engine.devices import check_devices, parse_devices
from service.engine.engine import Engine
from service.engine.hardware import DEFAULT_THREADS, keep_freed_memory, one_thread_here
from service.engine.inbox import Ticket
from service.engine.job import EngineError
from service.engine.options import EngineOptions
from service.http.problems import Problem
from service.jobs.acceptance import accept
from service.jobs.arithmetic import arithmetic_of
from service.jobs.chunk import OtherBytes
from service.jobs.formats.registry import FORMATS
from service.jobs.job_request import JobRequest
from service.jobs.results import FolderResults
from service.jobs.rows_template import RowsChunk, RowsTemplate
from service.jobs.specification import Specification
from service.metrics import Metrics
from service.requests.model_choice import choose
from service.requests.schemas import SampleRequest
from service.settings import shipped_checkpoints

NOTE = "data_set.json"
"""In the folder: what was asked, and what it came to."""
BAR = 30  # characters
NOT_FLAGS = {"control", "init", "mask", "seed_to", "mix", "zoom", "previews", "noisy_previews", "reproducible"}


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script. Returns its exit status."""
    given = vars(_parser().parse_args(arguments))
    own = {name: given.pop(name) for name in ("out", "checkpoints", "device", "threads")}
    try:
        asyncio.run(make(JobRequest(**given), **own, told=sys.stderr))
    except ValidationError as error:
        told = "; ".join(f"--{str(one['loc'][0]).replace('_', '-')}: {one['msg']}" for one in error.errors())
        print(f"spirale-sample: {told}", file=sys.stderr)
        return 2
    except (Problem, OtherBytes, EngineError, OSError) as error:
        print(f"spirale-sample: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nspirale-sample: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    """Its own flags, and one for each field of a job."""
    parser = argparse.ArgumentParser("spirale-sample", description=__doc__, argument_default=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, required=True, help="folder that is filled, and made if need be")
    parser.add_argument("--checkpoints", type=Path, default=shipped_checkpoints(), help="folder of the checkpoints")
    parser.add_argument("--device", type=_devices, default="auto", help="as the service has it: auto, cpu:0,cpu:1, …")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads of the network; 0 is one a core")
    for name, field in JobRequest.model_fields.items():
        if name not in NOT_FLAGS:
            told = (field.description or "").replace("%", "%%")
            parser.add_argument(f"--{name.replace('_', '-')}", type=_value, required=field.is_required(), help=told)
    return parser


def _devices(text: str) -> str:
    try:
        check_devices(parse_devices(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _value(text: str) -> Any:
    """As JSON has it, where it is JSON: 7, true, [1, 2], {"7": 300}; else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


async def make(body: JobRequest, out: Path, checkpoints: Path, device: str, threads: int, told: TextIO) -> None:
    """Make what is not in the folder yet.

    threads  of the network; 0 is one a core
    told     where progress goes

    Raises Problem, OtherBytes, EngineError or OSError that says why not.
    """
    one_thread_here()
    keep_freed_memory()
    catalog = catalog_of(served_folder(checkpoints))
    served = choose(catalog, SampleRequest(dataset=body.dataset, model=body.model)).served
    wanted = [served] if body.model else catalog.datasets[body.dataset]
    options = EngineOptions(device=device, threads=threads or DEFAULT_THREADS)
    engine = Engine({one.key: one for one in wanted}, options, Metrics())
    engine.start()
    try:
        while not engine.snapshot().ready:
            if (failure := engine.snapshot().failure) is not None:
                raise OSError(f"no model could be made ready: {failure}")
            await asyncio.sleep(0.05)
        out.mkdir(parents=True, exist_ok=True)
        specification = _specification(body, out, catalog, checkpoints, engine)
        await _fill(out, RowsTemplate.of(catalog, checkpoints, specification), engine, told)
    finally:
        engine.stop(0)


def _specification(body: JobRequest, out: Path, catalog: Catalog, checkpoints: Path, engine: Engine) -> Specification:
    """What the folder was begun with, else the body in full. Raises Problem or OtherBytes where it cannot go on."""
    note, asked = out / NOTE, body.model_dump(exclude_unset=True, mode="json")
    if not note.exists():
        new = accept(catalog, checkpoints, engine.snapshot(), body)
        content = {"asked": asked, "specification": new.model_dump(mode="json")}
        FolderResults(out.parent).put(out.name, NOTE, (json.dumps(content, indent=1) + "\n").encode())
        return new
    known = json.loads(note.read_text())
    if known["asked"] != asked:
        raise Problem(422, f"{out} holds another data set: see {note}; name another folder")
    begun = Specification.model_validate(known["specification"])
    if begun.model_key not in engine.snapshot().keys:
        raise OtherBytes(f"the weights of {begun.model} changed: other samples would come; name another folder")
    now = arithmetic_of(engine.snapshot(), begun.model_key)
    if now != begun.arithmetic:
        raise OtherBytes(f"{out} was begun by {begun.arithmetic}, and this is {now}: name another folder")
    return begun


async def _fill(out: Path, template: RowsTemplate, engine: Engine, told: TextIO) -> None:
    specification = template.specification
    results = FolderResults(out.parent)
    results.remove(out.name, lambda name: not name.endswith(".unfinished"))
    form = FORMATS[specification.format]
    ending = (form.labels_ending if specification.labelled else None) or form.ending  # of what is written last
    left = [first for first in specification.firsts() if not (out / (specification.part(first) + ending)).exists()]
    progress = _Progress(specification.rows, sum(map(specification.rows_of, left)), told)

    def submitted(first: int) -> tuple[RowsChunk, Ticket]:
        chunk = template.chunk(first)
        return chunk, engine.submit(chunk.job, background=True)

    at_once = len(engine.snapshot().workers)
    waiting = deque(submitted(first) for first in left[:at_once])
    for following in [*left[at_once:], *[None] * len(waiting)]:
        chunk, ticket = waiting.popleft()
        samples = await engine.result(ticket)
        if following is not None:
            waiting.append(submitted(following))  # computed while this one is written
        written = await asyncio.to_thread(template.written, chunk, samples.data)
        for ending, content in written.files.items():
            await asyncio.to_thread(results.put, out.name, specification.part(chunk.first) + ending, content)
        progress.add(len(chunk.job))
    progress.end()


class _Progress:
    """A bar on a terminal, else a line for each tenth."""

    def __init__(self, rows: int, left: int, told: TextIO):
        self._rows, self._done, self._told = rows, rows - left, told
        self._made, self._began, self._tenths = 0, time.monotonic(), 0

    def add(self, rows: int) -> None:
        self._made, self._done = self._made + rows, self._done + rows
        rate = self._made / max(1e-9, time.monotonic() - self._began)
        seconds = round((self._rows - self._done) / rate)
        text = f"{self._done:,} of {self._rows:,} rows, {rate:,.0f} a second, {seconds // 60}:{seconds % 60:02} left"
        if self._told.isatty():
            full = BAR * self._done // self._rows
            print(f"\r[{'#' * full}{' ' * (BAR - full)}] {text}  ", end="", file=self._told, flush=True)
        elif (tenths := 10 * self._done // self._rows) > self._tenths:
            self._tenths = tenths
            print(text, file=self._told, flush=True)

    def end(self) -> None:
        if self._told.isatty() and self._made:
            print(file=self._told)
        if not self._made:
            print(f"all {self._rows:,} rows are there", file=self._told)
