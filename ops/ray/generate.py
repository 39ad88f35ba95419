"""A data set on all machines of a cluster of Ray: the rows and files of a job, in a folder that the machines share.

    python -m ops.ray.generate --dataset mnist --label balanced --n 1000000 --out /shared/digits --workers 8

A row is a function of its number, so any worker makes any chunk of rows. Ray Data hands out the chunks, and makes those
of a lost worker again. The workers write the files, because a job's bytes are Spirale's own and not those of Ray's
sinks. The folder says what is left: started again, the command goes on, and so does `spirale-sample` with its flags.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import ray
from pydantic import ValidationError
from ray.exceptions import RayError

from service.checkpoints.folder import catalog_of, served_folder
from service.engine.engine import Engine
from service.engine.job import EngineError
from service.http.problems import Problem
from service.jobs.chunk import OtherBytes
from service.jobs.data_set_folder import DataSetFolder, ready_engine
from service.jobs.job_request import JobRequest
from service.jobs.rows_template import RowsTemplate
from service.jobs.specification import Specification
from service.offline import Progress, add_data_set_flags, told_flags

MOST_TASKS = 1000
"""Of Ray: with more chunks than these, a task has several."""


class CannotMake(RuntimeError):
    """The reason is for people. Unlike those of the service, it can be sent from one machine to another."""


class ChunkMaker:
    """A worker: an engine that makes any chunk of the data set."""

    def __init__(self, asked: str, out: Path, checkpoints: Path, device: str, threads: int, *, begin: bool = False):
        """
        asked  a JobRequest as JSON
        out    has to hold the data set already, unless this is to `begin` it

        Raises CannotMake.
        """
        self._folder = DataSetFolder(out)
        if not begin and not self._folder.begun():
            raise CannotMake(f"{out} is empty here: give --out a folder that all machines share")
        catalog = catalog_of(served_folder(checkpoints))
        body = JobRequest.model_validate_json(asked)
        try:
            self._engine: Engine = asyncio.run(ready_engine(catalog, body, device, threads))
            try:
                self.specification = self._folder.specification(body, catalog, checkpoints, self._engine.snapshot())
                self._template = RowsTemplate.of(catalog, checkpoints, self.specification)
            except BaseException:
                self.close()
                raise
        except (Problem, OtherBytes, EngineError, OSError, ValueError) as error:  # the last of a device
            raise CannotMake(str(error)) from error

    def __call__(self, row: dict[str, int]) -> dict[str, int]:
        """Make and write the chunk whose first row is `first`; how many `rows` it has. Raises EngineError, OSError."""
        chunk = self._template.chunk(row["first"])

        async def sampled() -> Any:
            return await self._engine.result(self._engine.submit(chunk.job, background=True))

        written = self._template.written(chunk, asyncio.run(sampled()).data)
        self._folder.put(self.specification.part(chunk.first), written)
        return {"rows": chunk.rows}

    def close(self) -> None:
        self._engine.stop(0)


def begun(arguments: dict[str, Any]) -> tuple[Specification, list[int]]:
    """(the data set, the first rows of the missing chunks). It runs on a machine like the workers', because its speed
    sets the rows of a file where the request does not. Raises CannotMake."""
    maker = ChunkMaker(**arguments, begin=True)
    try:
        folder = DataSetFolder(arguments["out"])
        folder.sweep()
        return maker.specification, folder.left(maker.specification)
    finally:
        maker.close()


def make(arguments: dict[str, Any], workers: int, cpus: float, gpus: float, told: TextIO) -> None:
    """Make what is not in the folder yet.

    arguments   of ChunkMaker
    cpus, gpus  of one worker
    told        where progress goes

    Raises RayError or CannotMake.
    """
    specification, left = ray.get(ray.remote(num_cpus=cpus, num_gpus=gpus)(begun).remote(arguments))
    progress = Progress(specification.rows, sum(map(specification.rows_of, left)), told)
    if left:
        chunks = [{"first": first} for first in left]
        made = ray.data.from_items(chunks, override_num_blocks=min(len(chunks), MOST_TASKS)).map(
            ChunkMaker,
            fn_constructor_kwargs=arguments,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=workers),
            num_cpus=cpus,
            num_gpus=gpus,
        )
        for row in made.iter_rows():
            progress.add(row["rows"])
    progress.end()


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns its exit status. Ray is the cluster of RAY_ADDRESS, or of this machine, or else a new one."""
    parser = argparse.ArgumentParser("ops.ray.generate", description=__doc__, argument_default=argparse.SUPPRESS)
    add_data_set_flags(parser, devices_here=False)
    parser.add_argument("--workers", type=int, default=1, help="at most so many at once")
    parser.add_argument("--cpus", type=float, default=1, help="of one worker, as Ray counts them")
    parser.add_argument("--gpus", type=float, default=0, help="of one worker, as Ray counts them")
    given = vars(parser.parse_args(arguments))
    own = {name: given.pop(name) for name in ("workers", "cpus", "gpus")}
    folders = {name: given.pop(name).absolute() for name in ("out", "checkpoints")}
    device, threads = given.pop("device"), given.pop("threads") or max(1, int(own["cpus"]))
    try:
        asked = JobRequest(**given).model_dump_json(exclude_unset=True)
    except ValidationError as error:
        print(f"generate: {told_flags(error)}", file=sys.stderr)
        return 2
    ray.init(log_to_driver=False)
    try:
        make({"asked": asked, **folders, "device": device, "threads": threads}, **own, told=sys.stderr)
    except (RayError, CannotMake) as error:
        print(f"generate: {getattr(error, 'cause', None) or error}", file=sys.stderr)  # without a worker's trace
        return 1
    finally:
        ray.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
