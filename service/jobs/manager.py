"""Opens the store when it is first needed, so that a service without jobs starts as if there were none."""

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from service.checkpoints.catalog import Catalog
from service.checkpoints.model_memory import ModelMemory
from service.engine.engine import Engine
from service.engine.key import Key
from service.http.problems import Problem
from service.jobs.job_options import JobOptions
from service.metrics import Metrics

if TYPE_CHECKING:  # SQLAlchemy and Alembic take a second to import
    from service.jobs.live_jobs import LiveJobs
    from service.jobs.opening import Opened

log = structlog.get_logger(__name__)

READY_POLL = 0.2  # seconds
AGAIN_AFTER = 10.0  # seconds, where a store that has jobs cannot be opened yet


class JobManager:
    """`start` with the service, `close` before its engine stops; `live` is asked by the routes."""

    def __init__(
        self,
        options: JobOptions,
        engine: Engine,
        memory: ModelMemory,
        catalog: Callable[[], Catalog],
        key_of: Callable[[str], Key],
        metrics: Metrics,
    ):
        """`catalog` as of now; `key_of` an owner of jobs."""
        self.options = options
        self._engine, self._memory, self._catalog, self._key_of = engine, memory, catalog, key_of
        self._metrics = metrics
        self._opening: asyncio.Task[LiveJobs] | None = None
        self._live: LiveJobs | None = None
        self._resuming: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Go on with the jobs that an earlier process left, where there may be some."""
        if self.options.store is not None or self.options.database.exists():
            self._resuming = asyncio.create_task(self._resume())

    async def close(self) -> None:
        """Give unfinished jobs back, and let go of the store."""
        begun = [task for task in (self._resuming, self._opening) if task is not None]
        for task in begun:
            task.cancel()
        await asyncio.gather(*begun, return_exceptions=True)
        if self._live is not None:
            await self._live.close()

    async def live(self) -> "LiveJobs":
        """The jobs. Raises Problem (503) that says why there are none.

        Whoever asks while the store is being opened waits for that: one that is gone takes seconds to say so.
        """
        if self._live is None:
            if self._opening is None or self._opening.done():
                self._opening = asyncio.create_task(self._open())
            return await asyncio.shield(self._opening)
        return self._live

    async def _resume(self) -> None:
        while not self._engine.snapshot().ready:
            await asyncio.sleep(READY_POLL)
        began = time.monotonic()
        while True:
            try:
                await self.live()
            except Problem as problem:
                # There may be unfinished jobs in it. LiveJobs knows better as soon as it is open.
                self._metrics.jobs_lag.set_function(lambda: time.monotonic() - began)
                log.warning("jobs cannot go on", reason=problem.detail)
                await asyncio.sleep(AGAIN_AFTER)
            else:
                return

    async def _open(self) -> "LiveJobs":
        opened = await asyncio.to_thread(self._opened)
        self._live = opened.live(self._engine, self._memory, self._catalog, self._key_of, self._metrics)
        return self._live

    def _opened(self) -> "Opened":
        """Imports and migrates: not for the event loop. Raises Problem (503)."""
        from service.jobs.opening import Opened

        return Opened(self.options)
