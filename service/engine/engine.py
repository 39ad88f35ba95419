"""The event loop's side of the engine: it accepts jobs, and awaits what the workers make of them.

The event loop puts commands into a worker's inbox and awaits a future. The worker's thread (`service/engine/worker.py`)
takes the commands between two ticks, and answers with `call_soon_threadsafe`. Besides the inbox the two share

    the backlog       counted up by the event loop and down by the thread, behind a lock
    published fields  written by the thread, read by the event loop: ready models, speed curves, heartbeat, how it ended
    two flags         `stopping` and `aborted`, written by the event loop, read by the thread

and everything else belongs to one of them.
"""

import asyncio
import itertools
import time
from collections.abc import Mapping

from service.engine.backlog import Ahead
from service.engine.inbox import Cancel, Load, OnPreview, Retire, Ticket
from service.engine.job import DeadlinePassed, EngineFull, EngineStopped, Job, Samples
from service.engine.options import EngineOptions
from service.engine.served_model import Served
from service.engine.snapshot import EngineSnapshot
from service.engine.worker import Worker
from service.metrics import Metrics
from service.spans import NO_JOB_SPANS, REQUEST_SPANS

ABORT_SECONDS = 5.0  # for the tick in hand, when the grace period is over


class Engine:
    """`start`, then `await sample(job)` from the event loop, as often and as concurrently as one likes.

    Every worker holds every model. A job goes to the worker with the least backlog.
    """

    def __init__(self, models: Mapping[str, Served], options: EngineOptions, metrics: Metrics):
        """`models`: by the key that a job names them by."""
        self._options = options
        self._metrics = metrics
        self._workers = [Worker(models, options, metrics)]
        self._numbers = itertools.count()
        self._draining = False
        self._retiring: set[str] = set()  # so that nothing is accepted behind a Retire
        metrics.heartbeat_age.set_function(lambda: self.snapshot().heartbeat_age)
        metrics.queued_seconds.set_function(lambda: self.snapshot().backlog_seconds)
        metrics.rows_active.set_function(lambda: sum(one.rows_active for one in self.snapshot().workers))
        metrics.rows_queued.set_function(lambda: sum(one.rows_queued for one in self.snapshot().workers))

    def start(self) -> None:
        """Load and warm up the models, on the workers' threads; `snapshot().ready` says when that is done."""
        for worker in self._workers:
            worker.start()

    def drain(self) -> None:
        """Take no more work from now on; accepted jobs go on."""
        self._draining = True

    def stop(self, grace_seconds: float) -> None:
        """Take no more work, finish what was accepted within the grace period, end the threads. Blocks.

        What is not done by then is answered with EngineStopped.
        """
        self.drain()
        for worker in self._workers:
            worker.stopping = True
            worker.inbox.put(None)  # wakes it
        self._join(grace_seconds)
        for worker in self._workers:
            worker.aborted = True
        self._join(ABORT_SECONDS)

    def _join(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        for worker in self._workers:
            worker.join(max(0.0, until - time.monotonic()))

    def snapshot(self) -> EngineSnapshot:
        """Of this moment; from any thread."""
        workers = tuple(worker.snapshot() for worker in self._workers)
        return EngineSnapshot(workers, self._draining, frozenset(self._retiring))

    def submit(self, job: Job, on_preview: OnPreview | None = None, *, background: bool = False) -> Ticket:
        """Accept a job, or say at once why not. What is accepted must be awaited with `result`.

        A background job gives way to all others, so it counts for no bound and has no deadline.

        Raises EngineStopped, and for what is not in the background EngineFull or JobTooLong.
        """
        takers = [] if self._draining else [one for one in self._workers if one.loaded and not one.ended]
        if not takers:
            raise EngineStopped("the engine takes no work: it is loading, draining or dead")
        holders = [one for one in takers if job.model in one.models and job.model not in self._retiring]
        if not holders:
            raise EngineStopped(f"the model {job.model} is not there: it was just replaced, or could not be made ready")
        worker = holders[0] if len(holders) == 1 else min(holders, key=lambda one: one.backlog.seconds)
        number = next(self._numbers)
        if not background:
            try:
                worker.backlog.admit(number, job)
            except EngineFull:
                self._metrics.rejected.labels(reason="full").inc()
                raise
        loop = asyncio.get_running_loop()
        ticket = Ticket(
            loop.create_future(), loop, number, job, on_preview, time.monotonic(),
            network_evaluations_left=job.network_evaluations, background=background,
            spans=NO_JOB_SPANS if background else REQUEST_SPANS.get().of_job(),
        )  # fmt: skip
        worker.inbox.put(ticket)
        if worker.ended:  # between the check above and here; the thread may not have seen the ticket
            raise EngineStopped("the engine stopped before the job was done")
        return ticket

    async def result(self, ticket: Ticket) -> Samples:
        """The job's samples. Cancelling this frees its rows at the next tick.

        Raises DeadlinePassed, JobFailed or EngineStopped.
        """
        try:
            async with asyncio.timeout(None if ticket.background else self._options.deadline_seconds):
                return await ticket.future
        except TimeoutError:
            self._cancel(ticket)
            raise DeadlinePassed(f"not done within {self._options.deadline_seconds:g} s") from None
        except asyncio.CancelledError:
            self._cancel(ticket)
            if not ticket.background:
                self._metrics.cancelled.inc()
            raise

    def ahead_of(self, ticket: Ticket) -> Ahead | None:
        """What runs before a job that has not begun; None once it has."""
        found = (worker.backlog.ahead_of(ticket.number) for worker in self._workers)
        return next((ahead for ahead in found if ahead is not None), None)

    def _cancel(self, ticket: Ticket) -> None:
        for worker in self._workers:  # those that do not have it pass it over
            worker.inbox.put(Cancel(ticket.number))

    async def sample(self, job: Job) -> Samples:
        """`submit` and `result` in one."""
        return await self.result(self.submit(job))

    async def load(self, key: str, served: Served) -> None:
        """Make one more model ready on every worker, while the others go on between any two of its passes.

        Raises what it failed with, or EngineStopped.
        """
        loop = asyncio.get_running_loop()
        commands = [Load(loop.create_future(), loop, key, served) for _ in self._workers]
        for worker, command in zip(self._workers, commands, strict=True):
            worker.inbox.put(command)
        if any(worker.ended for worker in self._workers):
            raise EngineStopped("the engine has stopped")
        await asyncio.gather(*(command.future for command in commands))
        self._retiring.discard(key)

    def retire(self, key: str) -> None:
        """Take no more work for a model, and let go of it when what was accepted is done."""
        self._retiring.add(key)
        for worker in self._workers:
            worker.inbox.put(Retire(key))
