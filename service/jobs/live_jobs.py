"""The jobs of a service that has opened its store: what the routes ask, and the upkeep."""

import asyncio
import contextlib
import contextvars
import http.client
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from typing import ParamSpec, TypeVar

import sqlalchemy as sa
import structlog

from service.http.problems import Problem
from service.jobs import webhooks
from service.jobs.background import called, lasting
from service.jobs.job_answers import job_answer
from service.jobs.job_options import JobOptions
from service.jobs.producer import Producer
from service.jobs.results import Results
from service.jobs.store import JobStore, KeyReused
from service.jobs.store_connection import first_line
from service.jobs.store_records import FINISHED, UNFINISHED, JobRecord, NewJob, StoredFile
from service.metrics import Metrics

log = structlog.get_logger(__name__)

JOB_ID = re.compile(r"job-[0-9a-f]{24}")  # databases do not take every text
PART = re.compile(r"part-[0-9]{5,8}[.a-z]{1,20}")
ANSWER_WITHIN = 20.0  # seconds, of the store
UPKEEP_EVERY = 30.0  # seconds
MOST_UNFINISHED = 1_000  # jobs of one key: each takes a place in the line
MOST_IN_ALL = 10_000  # jobs: each takes a place in the store
TELL_EVERY = 1.0  # seconds, that webhooks are looked for
STATES = UNFINISHED + FINISHED

P = ParamSpec("P")
R = TypeVar("R")


class LiveJobs:
    """Methods raise Problem: 404 and 410 for jobs that are not there, 503 where the store does not answer."""

    def __init__(
        self,
        store: JobStore,
        results: Results,
        asking: Executor,
        options: JobOptions,
        metrics: Metrics,
        close: Callable[[], None],
    ):
        """`asking` is the one thread that talks to the store; `close` is called in the end."""
        self.store, self.results, self._asking = store, results, asking
        self._options, self._metrics, self._close = options, metrics, close
        self._producer: Producer | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._went_on: float | None = None  # by time.monotonic(), see `JobStore.lag`
        metrics.jobs_lag.set_function(self._lag)
        self._removed: set[str] = set()  # whose files are deleted: the place need not be asked again

    def start(self, producer: Producer) -> None:
        """Work on jobs, and look after them, until `close`."""
        self._producer = producer
        work = [producer.run(), lasting(self._upkeep, UPKEEP_EVERY)]
        if self._options.webhook_hosts:
            work.append(lasting(self._tell, TELL_EVERY))
        # Without the context of the request that came first: its id would stand in every line of the log.
        self._tasks = [asyncio.create_task(one, context=contextvars.Context()) for one in work]

    async def close(self) -> None:
        """Give unfinished jobs back, and let go of the store."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self._close)

    async def known(self, owner: str, key: str | None, body_hash: str) -> JobRecord | None:
        """The job that came with that Idempotency-Key before: it is answered whatever has changed since. None where
        there is none. Raises Problem (422) where it had another body."""
        return None if key is None else await self.ask(self.store.known, owner, key, body_hash)

    async def submit(self, new: NewJob) -> JobRecord:
        """The new job, or the one that came with the same key before. Raises Problem: 422 where that had another body,
        429 where too many are unfinished."""
        try:
            await asyncio.to_thread(self.results.check)
        except OSError as error:
            raise Problem(503, f"results cannot be written: {error.strerror or error}") from error
        mine, in_all = await self.ask(self.store.unfinished, new.owner)
        for count, most, whose in ((mine, MOST_UNFINISHED, "of yours "), (in_all, MOST_IN_ALL, "")):
            if count >= most:
                raise Problem(
                    429, f"{most:,} jobs {whose}are unfinished; delete some, or wait", headers={"Retry-After": "60"}
                )
        record, _ = await self.ask(self.store.add, new)
        if self._producer is not None:
            self._producer.wake()
        return record

    async def get(self, job: str, owner: str) -> JobRecord:
        record = await self.ask(self.store.get, job, owner) if JOB_ID.fullmatch(job) else None
        if record is None:
            raise Problem(404, f"there is no job {job[:80]!r}; GET /jobs lists those that there are")
        if record.expired is not None:
            raise Problem(
                410, f"the job {job} was deleted, or has expired, and its files with it; ask again with its `request`"
            )
        return record

    async def listed(self, owner: str, limit: int, before: str | None) -> list[JobRecord]:
        """The newest first; `before`: those that are older than that one."""
        return await self.ask(self.store.listed, owner, limit, before)

    def drop(self, job: str) -> None:
        """Work on it no more."""
        if self._producer is not None:
            self._producer.drop(job)

    async def cancel(self, job: str, owner: str) -> None:
        """End it, where it is not finished, and delete its files."""
        await self.get(job, owner)
        self.drop(job)
        await self.ask(self.store.cancel, job)
        with contextlib.suppress(OSError):  # upkeep tries again
            await asyncio.to_thread(self.results.remove, job)

    async def files(self, job: str, owner: str) -> list[StoredFile]:
        """Those that are published, in the rows' order."""
        await self.get(job, owner)
        return await self.ask(self.store.files, job)

    async def file(self, job: str, owner: str, name: str) -> StoredFile:
        """Raises Problem (404) where there is none of that name."""
        await self.get(job, owner)
        file = await self.ask(self.store.file, job, name) if PART.fullmatch(name) else None
        if file is None:
            raise Problem(404, f"the job {job} has no file {name[:80]!r}; /jobs/{job}/files lists those there are")
        return file

    async def read(self, job: str, file: StoredFile, start: int, stop: int) -> Iterator[bytes]:
        """Bytes start … stop − 1 of a file."""
        try:
            return await asyncio.to_thread(self.results.read, job, file.stored, start, stop)
        except OSError as error:
            raise Problem(503, f"{file.name} cannot be read: {error.strerror or error}") from error

    async def _upkeep(self) -> None:
        """One round."""
        with contextlib.suppress(Problem):  # the store is gone for now
            for job in await self.ask(self.store.expire, self._options.keep_seconds, self._options.keep_bytes):
                log.info("job expired", job=job)
            await self.ask(self.store.uploads.expire, self._options.keep_seconds)
            gone = await self.ask(self.store.without_files) | await self.ask(self.store.uploads.without_content)
            for name in gone - self._removed:
                await self._remove(name)
            self._removed &= gone  # others are forgotten by now, also by another process
            await self.ask(self.store.forget, self._removed, self._options.keep_seconds)
            await self.ask(self.store.uploads.forget, self._removed)
            counts = await self.ask(self.store.counts)
            for state in STATES:
                self._metrics.jobs.labels(state=state).set(counts.get(state, 0))
            lag = await self.ask(self.store.lag)
            self._went_on = None if lag is None else time.monotonic() - lag
        await asyncio.sleep(UPKEEP_EVERY)

    def _lag(self) -> float:
        """As long as the store is gone, it grows."""
        return 0.0 if self._went_on is None else time.monotonic() - self._went_on

    async def _remove(self, name: str) -> None:
        """Delete the files of a job or an upload. If that fails, the next round tries again."""
        try:
            await asyncio.to_thread(self.results.remove, name)
        except OSError as error:
            log.warning("files cannot be deleted", of=name, reason=str(error))
        else:
            self._removed.add(name)

    async def _tell(self) -> None:
        """Tell the end of one job to whoever wants to know."""
        record = None
        with contextlib.suppress(Problem):
            record = await self.ask(self.store.take_webhook, webhooks.delay_after)
        if record is None:
            return await asyncio.sleep(TELL_EVERY)
        assert record.webhook is not None  # else it would not be due
        if webhooks.refusal(record.webhook, self._options.webhook_hosts) is not None:
            return  # its host is allowed no more
        answer = await asyncio.to_thread(job_answer, record, self._options.keep_seconds)
        body = answer.model_dump_json().encode()
        secret, now = self._options.webhook_secret, int(time.time())
        try:
            status = await asyncio.to_thread(webhooks.deliver, record.webhook, secret, record.id, now, body)
        except (OSError, http.client.HTTPException) as error:
            log.warning("webhook not delivered", job=record.id, reason=str(error))
            return
        if 200 <= status < 300:
            with contextlib.suppress(Problem):
                await self.ask(self.store.told, record.id)
        else:
            log.warning("webhook not taken", job=record.id, status=status)

    async def ask(self, function: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
        """Of the store, in its thread. Raises Problem: 422 for a key that came with another body, 503 where the store
        does not answer."""
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                return await called(self._asking, function, *arguments, **named)
        except KeyReused as error:
            raise Problem(
                422, f"this Idempotency-Key came with another body before, for the job {error}; use a new key"
            ) from error
        except TimeoutError as error:
            raise Problem(503, "the store of jobs does not answer", headers={"Retry-After": "10"}) from error
        except sa.exc.DBAPIError as error:
            told = f"the store of jobs does not answer: {first_line(error)}"
            raise Problem(503, told, headers={"Retry-After": "10"}) from error
