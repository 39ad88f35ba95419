"""The event loop's side of the engine: it accepts jobs, gives them to workers, and awaits what those make of them.

The event loop puts commands into a worker's inbox and awaits a future. The worker's thread (`service/engine/worker.py`)
takes the commands between two ticks, and answers with `call_soon_threadsafe`. Besides the inbox the two share

    the backlog       counted up by the event loop and down by the thread, behind a lock
    published fields  written by the thread, read by the event loop: ready models, speed curves, heartbeat, how it ended
    flags             `stopping` and `aborted`, written by the event loop, read by the thread

and everything else belongs to one of them.

A job that a lost worker had is run again on another. It gives the same bytes, for a row is a function of its seed.
"""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog

from service.engine.backlog import Ahead
from service.engine.devices import parse_devices
from service.engine.in_use import ModelsInUse
from service.engine.inbox import Awaited, Cancel, Load, OnPreview, Retire, Ticket
from service.engine.job import (
    DeadlinePassed,
    EngineFull,
    EngineStopped,
    Job,
    JobFailed,
    JobTooLong,
    RateExceeded,
    Samples,
    WorkerLost,
)
from service.engine.key import ANYBODY, Key
from service.engine.options import EngineOptions
from service.engine.served_model import Served
from service.engine.snapshot import EngineSnapshot
from service.engine.worker import Worker
from service.metrics import Metrics
from service.spans import REQUEST_SPANS

log = structlog.get_logger(__name__)

ABORT_SECONDS = 5.0  # for the tick in hand, when the grace period is over
STALE_HEARTBEAT = 5.0  # seconds, after which a worker gets no more work while others move
MOST_LOSSES = 2  # workers that may end while a job runs: it is not given a third one to take along
LOOK_EVERY = 0.05  # seconds, for a worker that is still loading while no other is left


class Engine:
    """`start`, then `await sample(job)` from the event loop, as often and as concurrently as one likes.

    Every worker holds every model. A job goes to the worker that would finish it first.
    """

    def __init__(self, models: Mapping[str, Served], options: EngineOptions, metrics: Metrics):
        """`models`: by the key that a job names them by. Raises ValueError for devices that cannot be read."""
        self._options = options
        self._metrics = metrics
        devices = parse_devices(options.device)
        torch_threads = min((len(one.cores) for one in devices if one.cores), default=options.threads)
        self._in_use = ModelsInUse()
        self._workers = [Worker(device, models, options, metrics, torch_threads, self._in_use) for device in devices]
        self._numbers = itertools.count()
        self._draining = False
        self._retiring: set[str] = set()  # so that nothing is accepted behind a Retire
        self._waiting: dict[Awaited[Any], Worker] = {}  # what is not answered yet, and who has it
        for worker in self._workers:
            metrics.watch(worker.name, worker.snapshot)

    def start(self) -> None:
        """Load and warm up the models, on the workers' threads; `snapshot().ready` says when that is done."""
        for worker in self._workers:
            worker.start()

    def drain(self) -> None:
        """Take no more work from now on; accepted jobs go on."""
        self._draining = True

    def break_off(self) -> None:
        """Take no more work, and answer what is not done with EngineStopped, except the background's."""
        self.drain()
        for awaited in list(self._waiting):
            if isinstance(awaited, Ticket) and not awaited.background and not awaited.future.done():
                awaited.future.set_exception(EngineStopped("the server stopped before this was done"))
                self._cancel(awaited)

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

    def give_up(self, device: str) -> None:
        """Count a worker that is stuck as lost: others run its jobs again."""
        for worker in self._workers:
            if worker.name == device and not worker.ended:
                worker.give_up()
                for awaited in [one for one, its_worker in self._waiting.items() if its_worker is worker]:
                    _lose(awaited)

    def snapshot(self) -> EngineSnapshot:
        """Of this moment; from any thread."""
        workers = tuple(worker.snapshot() for worker in self._workers)
        return EngineSnapshot(workers, self._draining, frozenset(self._retiring))

    def submit(
        self, job: Job, on_preview: OnPreview | None = None, *, key: Key = ANYBODY, background: bool = False
    ) -> Ticket:
        """Accept a job, or say at once why not. What is accepted must be awaited with `result`.

        key         whose it is: what the job takes of a device counts for its share and its allowance
        background  it gives way to all others, so it counts for no bound and has no deadline

        Raises EngineStopped, and for what is not in the background RateExceeded, EngineFull or JobTooLong.
        """
        if self._draining:
            raise EngineStopped("the engine takes no work: it is draining")
        loop = asyncio.get_running_loop()
        ticket = Ticket(
            loop.create_future(), loop, next(self._numbers), job, on_preview, time.monotonic(),
            network_evaluations_left=job.network_evaluations, key=key, background=background,
        )  # fmt: skip
        if job.model in self._retiring:
            raise EngineStopped(f"the model {job.model} is not there: it was just replaced")
        holders = self._holders(job, background)
        worker = holders[0]
        if background:
            worker.backlog.add(ticket.number, job, key, background=True)
        else:
            worker = self._admitted(ticket, holders)
            ticket.spans = REQUEST_SPANS.get().of_job()  # of what is accepted only
        self._send(ticket, worker)
        return ticket

    def _holders(self, job: Job, background: bool) -> list[Worker]:
        """The workers that could do the job, the one first that would finish it first. Raises EngineStopped."""
        takers = [one for one in self._workers if one.loaded and not one.ended and not one.aborted]
        if not takers:
            raise EngineStopped("the engine takes no work: it is loading or dead")
        holders = [one for one in takers if job.model in one.models]
        if not holders:
            raise EngineStopped(f"the model {job.model} is not there: it was just replaced, or could not be made ready")
        if len(holders) == 1:
            return holders

        def rank(worker: Worker) -> tuple[bool, float]:
            stale = time.monotonic() - worker.beat > STALE_HEARTBEAT
            return stale, worker.backlog.seconds_until_done(job, background=background)

        return sorted(holders, key=rank)

    def _admitted(self, ticket: Ticket, holders: list[Worker]) -> Worker:
        """The first that has room for the job, which it counts. Raises JobTooLong where all are too slow for it, or
        RateExceeded or EngineFull."""
        charged = holders[0].backlog.seconds_of(ticket.job)
        try:
            ticket.key.need(charged)
        except RateExceeded:
            self._metrics.rejected.labels(reason="rate").inc()
            raise
        refusal: EngineFull | JobTooLong | None = None
        for worker in holders:
            try:
                worker.backlog.admit(ticket.number, ticket.job, ticket.key)
                ticket.charged = charged
                ticket.key.use(charged)
                return worker
            except (EngineFull, JobTooLong) as error:
                if refusal is None or isinstance(refusal, JobTooLong):
                    refusal = error
        assert refusal is not None  # there is at least one holder
        if isinstance(refusal, EngineFull):
            self._metrics.rejected.labels(reason="full").inc()
        raise refusal

    def _send(self, awaited: Ticket | Load | Retire, worker: Worker) -> None:
        if isinstance(awaited, Ticket):
            self._in_use.add(awaited.number, awaited.job.model)
        self._waiting[awaited] = worker
        awaited.future.add_done_callback(lambda _: self._answered(awaited))
        worker.inbox.put(awaited)
        if worker.ended:  # since it was chosen: its thread may not have seen this
            _lose(awaited)

    def _answered(self, awaited: Awaited[Any]) -> None:
        self._waiting.pop(awaited)
        lost = not awaited.future.cancelled() and isinstance(awaited.future.exception(), WorkerLost)
        if isinstance(awaited, Ticket) and not lost:  # a lost one is run again
            self._in_use.done(awaited.number)

    async def result(self, ticket: Ticket) -> Samples:
        """The job's samples. Cancelling this frees its rows at the next tick.

        Raises DeadlinePassed, JobFailed or EngineStopped.
        """
        try:
            async with asyncio.timeout(None if ticket.background else self._options.deadline_seconds):
                while True:
                    try:
                        return await ticket.future
                    except WorkerLost:
                        ticket = await self._given_again(ticket)
        except TimeoutError:
            self._cancel(ticket)
            raise DeadlinePassed(f"not done within {self._options.deadline_seconds:g} s") from None
        except asyncio.CancelledError:
            self._cancel(ticket)
            if not ticket.background:
                self._metrics.cancelled.inc()
            raise
        finally:
            self._in_use.done(ticket.number)  # also where it was lost and is not run again
            ticket.settle()

    async def _given_again(self, lost: Ticket) -> Ticket:
        """The job of a lost worker, given to another. Raises EngineStopped where none is left."""
        while not any(one.takes_work for one in self.snapshot().workers):
            if all(one.ended for one in self._workers):
                raise EngineStopped("the engine stopped before this was done")
            await asyncio.sleep(LOOK_EVERY)
        ticket = lost.again()
        worker = self._holders(ticket.job, ticket.background)[0]
        if ticket.losses >= MOST_LOSSES:
            raise JobFailed(f"{ticket.losses} devices were lost while it ran")
        log.warning("a job is run again", job=ticket.number, device=worker.name)
        worker.backlog.add(ticket.number, ticket.job, ticket.key, background=ticket.background)
        self._send(ticket, worker)
        return ticket

    def ahead_of(self, ticket: Ticket) -> Ahead | None:
        """What runs before a job that has not begun; None once it has."""
        found = (worker.backlog.ahead_of(ticket.number) for worker in self._workers if not worker.ended)
        return next((ahead for ahead in found if ahead is not None), None)

    def _cancel(self, ticket: Ticket) -> None:
        for worker in self._workers:  # those that do not have it pass it over
            worker.inbox.put(Cancel(ticket.number))

    async def sample(self, job: Job, key: Key = ANYBODY) -> Samples:
        """`submit` and `result` in one."""
        return await self.result(self.submit(job, key=key))

    async def load(self, key: str, served: Served) -> None:
        """Make one more model ready on every worker, while the others go on between any two of its passes.

        Raises what it failed with on any of them, or EngineStopped.
        """
        sent = self._send_to_all(lambda future, loop: Load(future, loop, key, served))
        outcomes = await asyncio.gather(*sent, return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None and not isinstance(outcome, WorkerLost):
                self.retire(key)  # where it was made ready: others are not to hold what nobody counts
                raise outcome
        if all(isinstance(outcome, WorkerLost) for outcome in outcomes):
            raise EngineStopped("the engine has stopped")
        self._retiring.discard(key)

    def retire(self, key: str) -> Awaitable[object]:
        """Take no more work for a model, and let go of it when what was accepted is done.

        What is returned may be awaited: it is there when every worker has, for lost ones hold nothing."""
        self._retiring.add(key)
        sent = self._send_to_all(lambda future, loop: Retire(future, loop, key))
        return asyncio.gather(*sent, return_exceptions=True)

    def _send_to_all(
        self, command: Callable[[asyncio.Future[Any], asyncio.AbstractEventLoop], Load | Retire]
    ) -> list[asyncio.Future[Any]]:
        """What each worker that has not ended will answer."""
        loop, workers = asyncio.get_running_loop(), [one for one in self._workers if not one.ended]
        commands = [command(loop.create_future(), loop) for _ in workers]
        for each, worker in zip(commands, workers, strict=True):
            self._send(each, worker)
        return [each.future for each in commands]


def _lose(awaited: Awaited[Any]) -> None:
    if not awaited.future.done():
        awaited.future.set_exception(WorkerLost("the device was lost before this was done"))
