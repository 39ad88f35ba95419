"""The loop that makes the chunks of jobs: as background jobs of the engine, one more than it has devices, by turns."""

import asyncio
import contextlib
import errno
import functools
import secrets
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from typing import ParamSpec, TypeVar

import sqlalchemy as sa
import structlog
from pydantic import ValidationError

from service.checkpoints.catalog import Catalog
from service.checkpoints.model_memory import ModelMemory
from service.engine.engine import Engine
from service.engine.job import EngineStopped, JobFailed, ModelNotLoaded
from service.engine.key import Key
from service.http.problems import Problem
from service.jobs.background import called, lasting
from service.jobs.batch_lines import WrongLines
from service.jobs.chunk import Chunk, OtherBytes, Template, Written
from service.jobs.chunk_samples import sampled
from service.jobs.claimed import Claimed, fence_of
from service.jobs.job_options import JobOptions
from service.jobs.resting import Resting
from service.jobs.results import Results
from service.jobs.specification import Specification
from service.jobs.store import LEASE_SECONDS, JobStore, LeaseLost
from service.jobs.store_connection import first_line
from service.jobs.store_records import JobRecord
from service.jobs.templates import specification_of, template_of
from service.metrics import Metrics

log = structlog.get_logger(__name__)

TOGETHER = 4  # jobs that take turns, of those that can go on
IN_WRITING = 1  # chunks that become files while each device computes another
LOOK_EVERY = 2.0  # seconds, for jobs that other processes accepted or left
REST = 15.0  # seconds, at least, for a job that cannot go on here
AGAIN_AFTER = 5.0  # seconds, where the disk is full or the store is gone

P = ParamSpec("P")
R = TypeVar("R")


class Producer:
    """`run` until cancelled; `wake` when there may be more to do; `drop` a job that was cancelled."""

    def __init__(
        self,
        store: JobStore,
        results: Results,
        engine: Engine,
        memory: ModelMemory,
        catalog: Callable[[], Catalog],
        key_of: Callable[[str], Key],
        options: JobOptions,
        metrics: Metrics,
        asking: Executor,
        writing: Executor,
    ):
        """`asking` is the one thread that talks to the store, `writing` the one that makes files."""
        self._store, self._results, self._engine, self._memory = store, results, engine, memory
        self._catalog, self._key_of = catalog, key_of
        self._options, self._metrics = options, metrics
        self._asking, self._writing = asking, writing
        self._name = secrets.token_hex(8)  # never a machine's: another process of that name may come after this one
        self._claimed: dict[str, Claimed] = {}
        self._resting = Resting()
        self._free = asyncio.Semaphore(len(engine.snapshot().workers) + IN_WRITING)
        self._more = asyncio.Event()

    def wake(self) -> None:
        self._more.set()

    def drop(self, job: str) -> None:
        """Work on a job no more: the engine frees its rows before the next tick."""
        if job in self._claimed:
            self._leave(self._claimed[job])

    def _leave(self, claimed: Claimed) -> None:
        """Work on it under this claim no more; there may be a later one."""
        if self._claimed.get(claimed.record.id) is claimed:
            del self._claimed[claimed.record.id]
        for task in claimed.working - {asyncio.current_task()}:
            task.cancel()

    async def run(self) -> None:
        """Give all jobs back when cancelled."""
        renewing = asyncio.create_task(lasting(self._renew, LOOK_EVERY))
        try:
            await lasting(self._begin, LOOK_EVERY)
        finally:
            renewing.cancel()
            for job in list(self._claimed):
                self.drop(job)
            with contextlib.suppress(sa.exc.SQLAlchemyError, TimeoutError):
                await asyncio.wait_for(self._ask(self._store.release, self._name), 3)

    async def _begin(self) -> None:
        """One more chunk, when there is a place for it."""
        await self._free.acquire()
        try:
            claimed, first = await self._next()
        except BaseException:
            self._free.release()
            raise
        task = asyncio.create_task(self._make(claimed, first))
        claimed.working.add(task)
        task.add_done_callback(functools.partial(self._made, claimed))

    def _made(self, claimed: Claimed, task: asyncio.Task[None]) -> None:
        claimed.working.discard(task)
        self._free.release()
        self._more.set()
        if not task.cancelled() and task.exception() is not None:  # the store went away as well
            log.error("a chunk was given up", job=claimed.record.id, exc_info=task.exception())
            self._leave(claimed)  # its lease runs out, and it is claimed again

    async def _next(self) -> tuple[Claimed, int]:
        """A chunk to make, of the job whose turn it is; waits until there is one."""
        while True:
            if self._engine.snapshot().ready:
                with contextlib.suppress(sa.exc.SQLAlchemyError):  # the store is gone for now
                    await self._claim()
                for job, claimed in list(self._claimed.items()):
                    self._claimed[job] = self._claimed.pop(job)  # to the end of the line
                    if self._may_begin(claimed) and self._key_of(claimed.record.owner).may_go_on:
                        return claimed, claimed.left.popleft()
            self._more.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._more.wait(), LOOK_EVERY)

    def _may_begin(self, claimed: Claimed) -> bool:
        """Is there a chunk to make? Where memory is limited, two of a batch would wait for each other's models."""
        one_at_a_time = self._memory.limited and not isinstance(claimed.specification, Specification)
        return bool(claimed.left) and not (one_at_a_time and claimed.working)

    async def _claim(self) -> None:
        """Jobs, until enough of those that are claimed may go on."""
        while sum(self._key_of(one.record.owner).may_go_on for one in self._claimed.values()) < TOGETHER:
            barred = [one for one in await self._ask(self._store.owners_waiting) if not self._key_of(one).may_go_on]
            record = await self._ask(self._store.claim, self._name, self._resting.jobs | self._claimed.keys(), barred)
            if record is None:
                return
            try:
                specification = await self._write(specification_of, record)  # it may have megabytes of labels
            except ValidationError:
                await self._fail(record, "it was accepted by another version of this service, which wrote it otherwise")
                continue
            done = await self._ask(self._store.published, record.id)
            left = deque(first for first in specification.firsts() if first not in done)
            self._claimed[record.id] = Claimed(record, specification, left)
            log.info("job claimed", job=record.id, fence=record.fence, rows_done=record.rows_done, rows=record.rows)
            await self._sweep(record)

    async def _sweep(self, record: JobRecord) -> None:
        """Delete files that were written and never published, by processes that had the job before."""
        known = {file.stored for file in await self._ask(self._store.files, record.id)}

        def stays(name: str) -> bool:
            return name in known or fence_of(name) >= record.fence  # a later claim may have published it since

        with contextlib.suppress(OSError):  # it may be a full or broken disk's turn to say so later
            await self._write(self._results.remove, record.id, stays)

    async def _make(self, claimed: Claimed, first: int) -> None:
        """Sample, write, publish."""
        record, began = claimed.record, time.monotonic()
        try:
            with await self._in_memory(claimed):
                template = await self._template(claimed)
                chunk = await self._write(template.chunk, first)
                samples = await sampled(chunk.jobs, self._engine, self._key_of(record.owner), self._hold)
            written = await self._write(chunk.written, samples)
            published = await self._publish(claimed, chunk, written)
        except LeaseLost:
            log.info("job left to others", job=record.id)
            self._leave(claimed)
        except (OtherBytes, WrongLines, JobFailed, Problem) as error:
            self._leave(claimed)
            await self._fail(record, str(error))
        except (EngineStopped, OSError) as error:
            # The process ends, the model is another now, or a file cannot be read.
            self._leave(claimed)
            await self._give_back(record, error, time.monotonic() - began)
        except Exception as error:
            log.error("a chunk failed", job=record.id, first=first, exc_info=error)
            self._leave(claimed)
            await self._fail(record, f"{type(error).__name__} while rows {first} … were made; the log has more")
        else:
            claimed.record = published
            if published.state == "done":
                self._leave(claimed)
                log.info("job done", job=record.id, rows=record.rows, bytes=published.bytes)
                await self._sweep(published)

    async def _in_memory(self, claimed: Claimed) -> contextlib.AbstractContextManager[None]:
        """Keeps the model of a job of rows in memory until the context ends. A batch has a model for each line."""
        if isinstance(claimed.specification, Specification):
            return await self._hold(claimed.specification.model_key)
        return contextlib.nullcontext()

    async def _hold(self, model: str) -> contextlib.AbstractContextManager[None]:
        """Keeps a model in memory, where it is still served. Raises ModelNotLoaded."""
        served = self._catalog().by_key.get(model)
        return contextlib.nullcontext() if served is None else await self._memory.hold(served)

    async def _template(self, claimed: Claimed) -> Template:
        """What the models of now make of the request. Raises OtherBytes, EngineStopped, or OSError."""
        catalog = self._catalog()
        if claimed.template is None or claimed.template[0] is not catalog:
            made = await self._write(
                template_of, claimed.record, claimed.specification, catalog, self._engine.snapshot(),
                self._options.checkpoints, self._results, self._memory.askable(catalog),
            )  # fmt: skip
            claimed.template = catalog, made
        return claimed.template[1]

    async def _publish(self, claimed: Claimed, chunk: Chunk, written: Written) -> JobRecord:
        """Tries until it succeeds: a full disk or a store that is gone pauses the job. Raises LeaseLost."""
        record, made = claimed.record, claimed.files_of(chunk, written)
        while True:
            try:
                await self._need_room(sum(file.bytes for file in made))
                for file, content in zip(made, written.files.values(), strict=True):
                    await self._write(self._results.put, record.id, file.stored, content)
                claimed.paused = None
                published = await self._ask(
                    self._store.publish, record.id, record.fence, chunk.first, chunk.rows, made, written.kept
                )
            except OSError as error:
                await self._pause(claimed, f"results cannot be written: {error.strerror or error}")
            except sa.exc.DBAPIError as error:
                await self._pause(claimed, f"the store does not answer: {first_line(error)}")
            else:
                for dataset, count in chunk.samples.items():
                    self._metrics.job_rows.labels(dataset=dataset).inc(count)
                self._metrics.job_bytes.inc(sum(file.bytes for file in made))
                return published

    async def _need_room(self, size: int) -> None:
        """Raises OSError where all results together would take more bytes than are kept, whatever finished jobs go."""
        options = self._options
        gone = await self._ask(self._store.make_room, size, options.keep_seconds, options.keep_bytes)
        if gone is None:
            raise OSError(errno.EDQUOT, f"they would take more than --jobs-keep-bytes {options.keep_bytes:,}")
        for job in gone:
            log.info("job expired", job=job)
            await self._write(self._results.remove, job)

    async def _pause(self, claimed: Claimed, reason: str) -> None:
        if claimed.paused != reason:
            log.warning("job paused", job=claimed.record.id, reason=reason)
        claimed.paused = reason
        with contextlib.suppress(sa.exc.SQLAlchemyError):
            await self._ask(self._store.renew, claimed.record.id, claimed.record.fence, reason)
        await asyncio.sleep(AGAIN_AFTER)

    async def _fail(self, record: JobRecord, reason: str) -> None:
        log.warning("job failed", job=record.id, reason=reason)
        with contextlib.suppress(LeaseLost, sa.exc.SQLAlchemyError):
            await self._ask(self._store.fail, record.id, record.fence, reason)

    async def _give_back(self, record: JobRecord, error: Exception, waited: float) -> None:
        """Another process may take it at once; this one tries others first."""
        log.warning("job given back", job=record.id, reason=str(error), exc_info=error.__cause__)
        self._resting.add(record.id, waited, max(REST, error.retry_after if isinstance(error, ModelNotLoaded) else 0))
        with contextlib.suppress(LeaseLost, sa.exc.SQLAlchemyError):
            await self._ask(self._store.give_back, record.id, record.fence, str(error))

    async def _renew(self) -> None:
        """Keep the leases, and notice jobs that were cancelled elsewhere."""
        await asyncio.sleep(LEASE_SECONDS / 3)
        for job, claimed in list(self._claimed.items()):
            try:
                waits = self._key_of(claimed.record.owner).paused if claimed.left else None
                await self._ask(self._store.renew, job, claimed.record.fence, claimed.paused or waits)
            except LeaseLost:
                self._leave(claimed)
            except sa.exc.SQLAlchemyError as error:
                log.warning("a lease could not be renewed", job=job, reason=str(error))

    async def _ask(self, function: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
        """Of the store, in its thread."""
        return await called(self._asking, function, *arguments, **named)

    async def _write(self, function: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
        """In the thread that makes files."""
        return await called(self._writing, function, *arguments, **named)
