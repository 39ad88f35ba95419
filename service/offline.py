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

from service.checkpoints.folder import catalog_of, served_folder
from service.engine.devices import check_devices, parse_devices
from service.engine.engine import Engine
from service.engine.inbox import Ticket
from service.engine.job import EngineError
from service.http.problems import Problem
from service.jobs.chunk import OtherBytes
from service.jobs.data_set_folder import DataSetFolder, ready_engine
from service.jobs.job_request import JobRequest
from service.jobs.rows_template import RowsChunk, RowsTemplate
from service.settings import shipped_checkpoints

BAR = 30  # characters
OF_A_SERVICE = {"webhook", "reproducible"}
TEXTS = (str, str | None)  # the fields that are words in any case: 7 is a prompt, too
NOT_FLAGS = {"control", "init", "mask", "seed_to", "mix", "zoom", "previews", "noisy_previews"} | OF_A_SERVICE


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script. Returns its exit status."""
    parser = argparse.ArgumentParser("spirale-sample", description=__doc__, argument_default=argparse.SUPPRESS)
    add_data_set_flags(parser)
    given = vars(parser.parse_args(arguments))
    own = {name: given.pop(name) for name in ("out", "checkpoints", "device", "threads")}
    try:
        asyncio.run(make(JobRequest(**given), **own, told=sys.stderr))
    except ValidationError as error:
        print(f"spirale-sample: {told_flags(error)}", file=sys.stderr)
        return 2
    except (Problem, OtherBytes, EngineError, OSError) as error:
        print(f"spirale-sample: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nspirale-sample: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def told_flags(error: ValidationError) -> str:
    """What is wrong with which flag."""
    return "; ".join(f"--{str(one['loc'][0]).replace('_', '-')}: {one['msg']}" for one in error.errors())


def add_data_set_flags(parser: argparse.ArgumentParser, *, devices_here: bool = True) -> None:
    """out, checkpoints, device and threads, and one flag for each field of a job. What is not given has no entry.

    devices_here  whether it is this machine that must have the device
    """
    device = _devices if devices_here else str
    parser.add_argument("--out", type=Path, required=True, help="folder that is filled, and made if need be")
    parser.add_argument("--checkpoints", type=Path, default=shipped_checkpoints(), help="folder of the checkpoints")
    parser.add_argument("--device", type=device, default="auto", help="as the service has it: auto, cpu:0,cpu:1, …")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads of the network; 0 is one a core")
    for name, field in JobRequest.model_fields.items():
        if name not in NOT_FLAGS:
            told = (field.description or "").replace("%", "%%")
            read = _label if name == "label" else _text if field.annotation in TEXTS else _value
            parser.add_argument(f"--{name.replace('_', '-')}", type=read, required=field.is_required(), help=told)


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


def _label(text: str) -> Any:
    """A list, counts or a name in quotes, as JSON has them; else the text: a class may be called 1.0, true or null."""
    return _value(text) if text.lstrip()[:1] in ("[", "{", '"') else text


def _text(text: str) -> str:
    """As JSON has a text, or as it is."""
    value = _value(text)
    return value if isinstance(value, str) else text


async def make(body: JobRequest, out: Path, checkpoints: Path, device: str, threads: int, told: TextIO) -> None:
    """Make what is not in the folder yet.

    threads  of the network; 0 is one a core
    told     where progress goes

    Raises Problem, OtherBytes, EngineError or OSError that says why not.
    """
    catalog = catalog_of(served_folder(checkpoints))
    engine = await ready_engine(catalog, body, device, threads)
    try:
        folder = DataSetFolder(out)
        with folder.alone():
            specification = folder.specification(body, catalog, checkpoints, engine.snapshot())
            await _fill(folder, RowsTemplate.of(catalog, checkpoints, specification), engine, told)
    finally:
        engine.stop(0)


async def _fill(folder: DataSetFolder, template: RowsTemplate, engine: Engine, told: TextIO) -> None:
    specification = template.specification
    folder.sweep()
    left = folder.left(specification)
    progress = Progress(specification.rows, sum(map(specification.rows_of, left)), told)

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
        await asyncio.to_thread(folder.put, specification.part(chunk.first), written)
        progress.add(len(chunk.job))
    progress.end()


class Progress:
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
