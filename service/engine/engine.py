"""The thread that owns the models, and the hand-over between it and the event loop.

The event loop puts commands into an inbox and awaits a future; the thread takes the commands between two ticks and
answers with `call_soon_threadsafe`. Neither touches what is the other's.
"""

import asyncio
import contextlib
import itertools
import queue
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import structlog
import torch

from model.precision import choose_precision
from service.engine.backlog import Backlog
from service.engine.buckets import default_sizes
from service.engine.hardware import DEFAULT_THREADS, choose_device
from service.engine.inbox import Awaited, Cancel, Load, OnPreview, Retire, Ticket
from service.engine.job import DeadlinePassed, EngineFull, EngineStopped, Job, JobFailed, Samples
from service.engine.runner import Runner
from service.engine.scheduler import Scheduler, Tick
from service.engine.served import Served
from service.engine.speed import SpeedCurve
from service.metrics import Metrics

log = structlog.get_logger(__name__)

IDLE_BEAT = 0.5  # seconds between heartbeats while there is nothing to do
ABORT_SECONDS = 5.0  # for the tick in hand, when the grace period is over


@dataclass(frozen=True)
class EngineOptions:
    """device and precision may be "auto"; batch_sizes empty means the default of the kind of data."""

    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    batch_sizes: tuple[int, ...] = ()
    compile: bool = False
    threads: int = DEFAULT_THREADS
    max_queued_seconds: float = 60.0
    deadline_seconds: float = 120.0


class Engine:
    """`start`, then `await sample(job)` from the event loop, as often and as concurrently as one likes."""

    def __init__(
        self,
        models: Mapping[str, Served],
        options: EngineOptions,
        metrics: Metrics,
    ):
        """`models`: by the key that a job names them by."""
        self._served = dict(models)
        self._options = options
        self._metrics = metrics
        self._device = torch.device(choose_device(options.device))
        self._runner = Runner(self._device, options.compile)
        self._curves: dict[str, SpeedCurve] = {}
        self._scheduler = Scheduler(self._curves)
        self._backlog = Backlog(self._curves)
        self._inbox: queue.SimpleQueue[Ticket | Cancel | Load | Retire | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._main, name="engine", daemon=True)
        self._numbers = itertools.count()
        self._beat = time.monotonic()
        self._loaded = False
        self._draining = False
        self._stopping = False
        self._aborted = False
        self._ended = False
        self.failure: BaseException | None = None
        self._retiring: set[str] = set()  # the event loop's: so that nothing is accepted behind a Retire
        self._tickets: dict[int, Ticket] = {}  # the thread's
        self._retired: set[str] = set()  # likewise
        metrics.heartbeat_age.set_function(lambda: self.heartbeat_age)
        metrics.queued_seconds.set_function(lambda: self._backlog.seconds)

    # --- the event loop's side

    def start(self) -> None:
        """Load and warm up the models, on the engine's thread; `ready` tells when that is done."""
        self._thread.start()

    def drain(self) -> None:
        """Take no more work from now on; what was accepted goes on."""
        self._draining = True

    def stop(self, grace_seconds: float) -> None:
        """Take no more work, finish what was accepted within the grace period, end the thread. Blocks.

        What is not done by then is answered with EngineStopped.
        """
        self.drain()
        self._stopping = True
        self._inbox.put(None)  # wakes it
        if self._thread.is_alive():
            self._thread.join(grace_seconds)
            self._aborted = True
            self._thread.join(ABORT_SECONDS)

    @property
    def loaded(self) -> bool:
        """Are the models warmed up?"""
        return self._loaded

    @property
    def ready(self) -> bool:
        """Is work taken?"""
        return self._loaded and not self._draining and not self._ended

    @property
    def draining(self) -> bool:
        return self._draining

    @property
    def heartbeat_age(self) -> float:
        """Seconds since the thread last showed that it moves."""
        return time.monotonic() - self._beat

    def submit(self, job: Job, on_preview: OnPreview | None = None) -> Ticket:
        """Accept a job, or say at once why not. What is accepted must be awaited with `result`.

        Raises EngineFull or EngineStopped.
        """
        if not self.ready:
            raise EngineStopped("the engine takes no work: it is loading, draining or dead")
        if job.model not in self.keys:
            raise EngineStopped(f"the model {job.model} is not there: it was just replaced, or could not be made ready")
        try:
            self._backlog.admit(job, self._options.max_queued_seconds)
        except EngineFull:
            self._metrics.rejected.labels(reason="full").inc()
            raise
        loop = asyncio.get_running_loop()
        dataset = self._served[job.model].checkpoint.config.data.dataset
        ticket = Ticket(
            loop.create_future(), loop, next(self._numbers), job, dataset, on_preview, time.monotonic(), job.evaluations
        )
        self._inbox.put(ticket)
        if self._ended:  # between the check above and here; the thread may not have seen the ticket
            raise EngineStopped("the engine stopped before the job was done")
        return ticket

    async def result(self, ticket: Ticket) -> Samples:
        """The job's samples. Cancelling this frees its rows at the next tick.

        Raises DeadlinePassed, JobFailed or EngineStopped.
        """
        try:
            async with asyncio.timeout(self._options.deadline_seconds):
                return await ticket.future
        except TimeoutError:
            self._inbox.put(Cancel(ticket.number))
            raise DeadlinePassed(f"not done within {self._options.deadline_seconds:g} s") from None
        except asyncio.CancelledError:
            self._inbox.put(Cancel(ticket.number))
            self._metrics.cancelled.inc()
            raise

    async def sample(self, job: Job) -> Samples:
        """`submit` and `result` in one."""
        return await self.result(self.submit(job))

    async def load(self, key: str, served: Served) -> None:
        """Make one more model ready, while the others go on between two of its passes.

        Raises what it failed with, or EngineStopped.
        """
        loop = asyncio.get_running_loop()
        command = Load(loop.create_future(), loop, key, served)
        self._inbox.put(command)
        if self._ended:
            raise EngineStopped("the engine has stopped")
        await command.future
        self._retiring.discard(key)

    def retire(self, key: str) -> None:
        """Take no more work for a model, and let go of it when what was accepted is done."""
        self._retiring.add(key)
        self._inbox.put(Retire(key))

    @property
    def keys(self) -> set[str]:
        """Of the models that take work."""
        return self._curves.keys() - self._retiring

    def describe(self) -> dict:
        """Per device and model, what holds; for `GET /models`."""
        return {
            "device": str(self._device),
            "seeds": (
                "the same request gives the same bytes on one machine type, version, thread count and settings, "
                "whatever else the server is doing"
                if self._device.type == "cpu"
                else "the same request gives the same bytes on this device as far as its kernels are deterministic"
            ),
            "models": {
                name: {
                    "precision": model.precision,
                    "batch_sizes": list(model.curve.sizes),
                    "evaluations_per_second": {size: round(rate) for size, rate in model.curve.rates.items()},
                    "knee": model.curve.knee,
                    "helpers": self._describe_helpers(name),
                }
                for name, model in list(self._runner.models.items())  # the thread may be loading more
            },
        }

    def _describe_helpers(self, model: str) -> dict[str, list[int]]:
        """The batch sizes of what steers a model, by name."""
        served, denoiser = self._served[model], self._runner.models[model].denoiser
        return {guide.name: list(denoiser.gradients[asked].sizes) for asked, guide in served.guides.items()} | {
            control.name: list(denoiser.controls[kind].sizes) for kind, control in served.controls.items()
        }

    # --- the thread's side

    def _main(self) -> None:
        try:
            torch.set_num_threads(self._options.threads)  # of this thread
            self._load()
            self._serve()
        except BaseException as error:
            self.failure = error
            log.critical("the engine died", exc_info=error)
        finally:
            self._answer_the_rest()

    def _load(self) -> None:
        """Make every model ready. One that cannot be is named in the log and left out; all of them: that is fatal."""
        for key, served in self._served.items():
            if self._stopping:
                return
            try:
                self._make_ready(key, served)
            except Exception as error:
                log.error("model left out", model=_name(served), exc_info=error)
                failure = error
        if not self._curves:
            raise failure
        self._loaded = True

    def _make_ready(self, key: str, served: Served) -> None:
        """Load and warm up one model. Raises whatever it fails with."""
        started = time.monotonic()
        precision = choose_precision(self._options.precision, served.checkpoint, self._device)
        if self._options.precision not in ("auto", precision):
            log.warning("the checkpoint does not allow that precision", model=_name(served), runs_in=precision)
        sizes = self._options.batch_sizes or default_sizes(served.checkpoint.config.data)
        self._runner.load(key, served, precision, sizes)
        curve = self._runner.models[key].curve
        self._served[key] = served
        self._curves[key] = curve
        self._beat = time.monotonic()
        log.info(
            "model ready",
            model=_name(served),
            device=str(self._device),
            precision=precision,
            evaluations_per_second={size: round(rate) for size, rate in curve.rates.items()},
            knee=curve.knee,
            seconds=round(self._beat - started, 2),
        )

    def _serve(self) -> None:
        while self._receive() and not self._aborted:
            self._beat = time.monotonic()
            if self._scheduler:
                tick = self._scheduler.next_tick()
                seconds = self._run(tick)
                for number in self._scheduler.advance(tick, seconds):
                    self._finish(number)
                for number in {piece.job for piece in tick.slices} & self._tickets.keys():
                    self._preview(self._tickets[number])
            self._let_go()
            self._metrics.rows_active.set(self._runner.rows_held)
            queued = sum(len(ticket.job) for ticket in self._tickets.values() if ticket.started is None)
            self._metrics.rows_queued.set(queued)

    def _receive(self) -> bool:
        """Take the commands that have come; waits a moment where there is nothing else to do. False: time to end."""
        while True:
            try:
                command = self._inbox.get(timeout=None if self._scheduler else IDLE_BEAT, block=not self._scheduler)
            except queue.Empty:
                return not self._stopping or bool(self._scheduler)
            if command is None and not self._scheduler:
                return False
            self._obey(command)

    def _obey(self, command: Ticket | Cancel | Load | Retire | None) -> None:
        if isinstance(command, Ticket):
            self._tickets[command.number] = command
            job = command.job
            self._scheduler.add(
                command.number,
                job.model,
                rows=len(job),
                steps=len(job.plan),
                evaluations_per_row=job.evaluations_per_row,
            )
        elif isinstance(command, Cancel) and command.number in self._tickets:
            self._forget(command.number)
        elif isinstance(command, Load):
            try:
                if command.key not in self._curves:
                    self._make_ready(command.key, command.served)
                self._retired.discard(command.key)  # it may have been on its way out
                command.answer(None)
            except Exception as error:
                command.answer(error)
        elif isinstance(command, Retire):
            self._retired.add(command.key)

    def _let_go(self) -> None:
        """Of retired models that nothing is left to do for."""
        busy = {ticket.job.model for ticket in self._tickets.values()}
        for key in self._retired - busy:
            self._retired.discard(key)
            if key not in self._curves:
                continue
            self._backlog.forget(key)
            del self._curves[key]
            self._runner.unload(key)
            log.info("model retired", model=_name(self._served.pop(key)))

    def _run(self, tick: Tick) -> float:
        """One tick; how many seconds it took. Where it fails as a whole, its jobs are run apart, and only those that
        fail again are lost; where all do, the model itself is looked at, and if it fails too, so does the engine."""
        numbers = {piece.job for piece in tick.slices}
        started = time.monotonic()
        for number in numbers:
            ticket = self._tickets[number]
            if ticket.started is None:
                ticket.started = started
                self._metrics.queue_seconds.labels(dataset=ticket.dataset).observe(started - ticket.submitted)
        try:
            failed = {number: "a value was not finite" for number in self._tick(tick.model, tick.slices)}
        except Exception as error:
            log.error("a tick failed; its jobs are run apart", model=tick.model, jobs=len(numbers), exc_info=error)
            failed = {}
            raised = 0
            for number in numbers:
                try:
                    alone = [piece for piece in tick.slices if piece.job == number]
                    failed |= {bad: "a value was not finite" for bad in self._tick(tick.model, alone)}
                except Exception as own:
                    failed[number] = f"{type(own).__name__} while sampling"
                    raised += 1
            if raised == len(numbers):
                self._runner.check(tick.model)
        else:
            self._curves[tick.model].learn(tick.size, time.monotonic() - started, idle=tick.idle)
        seconds = time.monotonic() - started
        model = _name(self._served[tick.model])
        self._metrics.tick_seconds.labels(model=model).observe(seconds)
        self._metrics.batch_rows.labels(model=model).observe(sum(len(piece) for piece in tick.slices))
        self._metrics.evaluations.labels(model=model).inc(tick.evaluations)
        self._metrics.batch_slots.labels(model=model).inc(tick.size)
        self._backlog.done(tick.model, tick.evaluations)
        for piece in tick.slices:
            ticket = self._tickets[piece.job]
            ticket.evaluations_left -= len(piece) * ticket.job.evaluations_per_row
        for number, reason in failed.items():
            ticket = self._tickets[number]
            self._forget(number)
            ticket.answer(JobFailed(reason))
        return seconds

    def _tick(self, model: str, slices: tuple | list) -> set[int]:
        jobs = {piece.job: self._tickets[piece.job].job for piece in slices}
        return self._runner.tick(model, jobs, slices)

    def _preview(self, ticket: Ticket) -> None:
        """Show x̂0 where the job's hindmost rows have come to the next step at which that is asked for."""
        due = ticket.job.preview_steps[ticket.previews_shown :]
        if ticket.on_preview is None or not due:
            return
        step = self._scheduler.step_of(ticket.number)
        if step < due[0]:
            return
        ticket.previews_shown += sum(one <= step for one in due)
        try:
            preview = self._runner.preview(ticket.number)
        except Exception as error:  # a picture on the way may be lost; the job goes on
            log.error("a preview failed", model=ticket.job.model, exc_info=error)
            return
        ticket.call(ticket.on_preview, step, preview)

    def _finish(self, number: int) -> None:
        ticket = self._tickets[number]
        try:
            data = self._runner.take(number)
        except Exception as error:
            log.error("samples could not be taken", model=ticket.job.model, exc_info=error)
            self._forget(number)
            return ticket.answer(JobFailed(f"{type(error).__name__} after sampling"))
        self._forget(number)
        now = time.monotonic()
        sampling = now - ticket.started
        self._metrics.sampling_seconds.labels(dataset=ticket.dataset).observe(sampling)
        ticket.answer(Samples(data, ticket.started - ticket.submitted, sampling))

    def _forget(self, number: int) -> None:
        ticket = self._tickets.pop(number)
        self._scheduler.remove(number)
        self._runner.drop(number)
        self._backlog.done(ticket.job.model, ticket.evaluations_left)

    def _answer_the_rest(self) -> None:
        """Nobody waits for a thread that has ended."""
        self._ended = True
        left: list[Awaited] = list(self._tickets.values())
        with contextlib.suppress(queue.Empty):
            while True:
                command = self._inbox.get_nowait()
                if isinstance(command, Awaited):
                    left.append(command)
        for command in left:
            command.answer(EngineStopped("the engine stopped before this was done"))


def _name(served: Served) -> str:
    return served.checkpoint.config.name
