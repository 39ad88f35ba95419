"""One of the engine's threads: it owns the models and every tensor, and takes commands between two ticks."""

import queue
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from itertools import chain
from typing import Any

import structlog
import torch

from service.engine.backlog import Backlog
from service.engine.devices import Device
from service.engine.hardware import choose_device, stay_on
from service.engine.in_use import ModelsInUse
from service.engine.inbox import Awaited, Cancel, Inbox, Load, Retire, Ticket
from service.engine.job import JobFailed, WorkerLost
from service.engine.options import EngineOptions
from service.engine.row_functions import RowFunctions, choose_backend
from service.engine.runner import Runner
from service.engine.scheduler import Scheduler, Tick
from service.engine.served_model import Served
from service.engine.slices import Slice
from service.engine.snapshot import ReadyModel, WorkerSnapshot
from service.engine.speed_curve import SpeedCurve
from service.engine.warm_up import warmed_up
from service.metrics import Metrics

log = structlog.get_logger(__name__)

IDLE_BEAT = 0.5  # seconds between heartbeats while there is nothing to do


class Worker:
    """One device, and the thread that runs on it.

    The event loop may use what has no underscore: it puts commands into `inbox`, counts jobs into `backlog`, sets
    `stopping` and `aborted`, and reads the rest.
    """

    def __init__(
        self, device: Device, models: Mapping[str, Served], options: EngineOptions, metrics: Metrics,
        torch_threads: int, in_use: ModelsInUse,
    ):  # fmt: skip
        """`torch_threads` are those of every worker, for they change the bits of a row. All workers share `in_use`."""
        self._options, self._metrics, self._to_begin_with = options, metrics, models
        self._in_use = in_use
        self._cores, self._torch_threads = device.cores, torch_threads
        self._device = torch.device(choose_device(device.for_torch, options.backend))
        self.name = device.name if device.cores else str(self._device)
        self._backend = choose_backend(options.backend, self._device, options.precision, options.compile)
        threads = len(device.cores) or options.threads, torch_threads
        functions = RowFunctions(self._device, self._backend, *threads, options.compile, options.batch_sizes)
        self._runner = Runner(self._device, functions)
        self._curves: dict[str, SpeedCurve] = {}  # of the models that are ready
        self.inbox: Inbox = queue.SimpleQueue()
        self.backlog = Backlog(self._curves, options.max_queued_seconds, options.deadline_seconds)
        self.models: Mapping[str, ReadyModel] = {}  # by key; replaced as a whole, so that readers need no lock
        self._scheduler = Scheduler(self._curves)
        self._tickets: dict[int, Ticket] = {}
        self._retired: dict[str, list[Retire]] = {}  # by the model's key
        self._loading: dict[str, tuple[list[Load], Generator[None, None, None]]] = {}  # by the model's key
        self._thread = threading.Thread(target=self._run, name=f"engine {self.name}", daemon=True)
        self._rows_active = self._rows_queued = 0
        self.beat = time.monotonic()  # when it last showed that it moves
        self.loaded = False  # are the models that it began with ready, or left out?
        self.stopping = False  # to end as soon as nothing is left to do
        self.aborted = False  # to end after the tick in hand
        self.ended = self._given_up = False  # its thread has ended, or was given up
        self.failure: BaseException | None = None  # that it ended of

    def start(self) -> None:
        self._thread.start()

    def join(self, seconds: float) -> None:
        """Wait for the thread to end, where it was started and not given up."""
        if self._thread.is_alive() and not self._given_up:
            self._thread.join(seconds)

    def give_up(self) -> None:
        """Count the thread as ended though it is stuck. If it ever goes on, it ends after the tick in hand."""
        self.failure = TimeoutError(f"it has not moved for {time.monotonic() - self.beat:.0f} s")
        self.aborted = self.ended = self._given_up = True

    def snapshot(self) -> WorkerSnapshot:
        """Of this moment; from any thread."""
        ended = self.ended  # if so, what it had is elsewhere
        return WorkerSnapshot(
            device=self.name, kind=self._device.type, torch_threads=self._torch_threads, models=self.models,
            to_begin_with=1 if self._options.load == "first" else len(self._to_begin_with), loaded=self.loaded,
            warming=not self.loaded or bool(self._loading), ended=ended, failure=self.failure,
            heartbeat_age=time.monotonic() - self.beat, backlog_seconds=0.0 if ended else self.backlog.seconds,
            rows_active=0 if ended else self._rows_active, rows_queued=0 if ended else self._rows_queued,
        )  # fmt: skip

    def _run(self) -> None:
        try:
            stay_on(self._cores)
            if self._device.type == "cuda":
                torch.cuda.set_device(self._device)  # compiled kernels go to the thread's own device
            torch.set_num_threads(1)  # of this thread, until PyTorch has a network to compute
            self._load()
            self._serve()
        except BaseException as error:
            self.failure = error
            log.critical("the engine died", device=self.name, exc_info=error)
        finally:
            self._answer_the_rest()

    def _load(self) -> None:
        """Make every model ready, or the first that can be. One that cannot be is left out; all of them: fatal."""
        for key, served in self._to_begin_with.items():
            if self.stopping:
                return
            if self._curves and self._options.load == "first":
                break
            try:
                for _ in self._made_ready(key, served):
                    self.beat = time.monotonic()
            except Exception as error:
                log.error("model left out", model=served.name, exc_info=error)
                failure = error
        if not self._curves:
            raise failure
        self.loaded = True

    def _made_ready(self, key: str, served: Served) -> Generator[None, None, None]:
        """Load and warm up one model; yields between its passes. Raises whatever it fails with."""
        model = yield from warmed_up(self._runner, key, served, self._backend, self._options.precision, self.name)
        self._curves[key] = model.curve
        self.models = {**self.models, key: ReadyModel.of(model)}

    def _serve(self) -> None:
        while self._receive() and not self.aborted:
            self.beat = time.monotonic()
            if self._loading:
                self._load_on()
            if self._scheduler:
                tick = self._scheduler.next_tick()
                seconds = self._run_tick(tick)
                if self._given_up:  # meanwhile: its jobs are elsewhere, and so are their previews
                    return
                for number in self._scheduler.advance(tick, seconds):
                    self._finish(number)
                for number in {piece.job for piece in tick.slices} & self._tickets.keys():
                    self._preview(self._tickets[number])
            self._let_go()
            requests = [ticket for ticket in self._tickets.values() if not ticket.background]
            self._rows_queued = sum(len(ticket.job) for ticket in requests if ticket.started is None)
            self._rows_active = sum(len(ticket.job) for ticket in requests) - self._rows_queued

    def _receive(self) -> bool:
        """Take the commands that have come; waits a moment where there is nothing else to do. False: time to end."""
        while True:
            idle = not self._scheduler and not self._loading
            try:
                command = self.inbox.get(block=idle, timeout=IDLE_BEAT if idle else None)
            except queue.Empty:
                return not self.stopping or bool(self._scheduler)
            if command is None and not self._scheduler:
                return False
            self._obey(command)

    def _obey(self, command: Ticket | Cancel | Load | Retire | None) -> None:
        if isinstance(command, Ticket):
            job, self._tickets[command.number] = command.job, command
            self._scheduler.add(
                command.number, job.model, rows=len(job), network_evaluations_by_step=job.network_evaluations_by_step,
                key=command.key.name, share=command.key.share, background=command.background,
            )  # fmt: skip
        elif isinstance(command, Cancel) and command.number in self._tickets:
            self._forget(command.number)
        elif isinstance(command, Load):
            for retired in self._retired.pop(command.key, ()):  # it was on its way out
                retired.answer(None)
            if command.key in self.models:
                command.answer(None)
            elif command.key in self._loading:  # once: rows may be in the first one's arena when a second is ready
                self._loading[command.key][0].append(command)
            else:
                self._loading[command.key] = [command], self._made_ready(command.key, command.served)
        elif isinstance(command, Retire):
            self._retired.setdefault(command.key, []).append(command)
            self._let_go()  # before a model is loaded in its place

    def _load_on(self) -> None:
        """One more pass of a model that is being made ready beside those that are served."""
        key, (commands, passes) = next(iter(self._loading.items()))
        try:
            return next(passes)
        except Exception as error:
            outcome = None if isinstance(error, StopIteration) else error
        del self._loading[key]
        for command in commands:
            command.answer(outcome)

    def _let_go(self) -> None:
        """Of retired models that nothing is left to do for, here or on another worker, which may be lost."""
        here = self.backlog.models | self._loading.keys() if self._retired else set()  # asked after every tick
        for key in [one for one in self._retired if one not in here and one not in self._in_use]:
            if key in self.models:
                log.info("model retired", model=self._runner.models[key].name)
                self.models = {other: model for other, model in self.models.items() if other != key}
                del self._curves[key]
                self._runner.unload(key)
            for command in self._retired.pop(key):
                command.answer(None)

    def _run_tick(self, tick: Tick) -> float:
        """One tick; how many seconds it took. Where it fails as a whole, its jobs are run apart, and only those that
        fail again are lost; where all do, the model itself is looked at, and if it fails too, so does the engine."""
        numbers = {piece.job for piece in tick.slices}
        started = time.monotonic()
        for number in numbers:
            ticket = self._tickets[number]
            if ticket.started is None:
                ticket.begin(started, self._metrics.queue_seconds.labels(dataset=self.models[tick.model].dataset))
        try:
            failed = {number: "a value was not finite" for number in self._tick(tick.model, tick.slices)}
        except Exception as error:
            log.error("a tick failed; its jobs are run apart", model=tick.model, jobs=len(numbers), exc_info=error)
            failed, raised = {}, 0
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
        name, rows = self.models[tick.model].name, sum(map(len, tick.slices))
        self._metrics.count_tick(self.name, name, seconds, rows, tick.network_evaluations, tick.size)
        for piece in tick.slices:
            ticket = self._tickets[piece.job]
            ticket.spans.ticked(started, seconds, len(piece), rows)
            evaluations = len(piece) * ticket.job.network_evaluations_by_step[piece.step]
            used = seconds * evaluations / tick.network_evaluations
            ticket.used += used
            self._metrics.count_use(ticket.key.name, used)
            self._count_down(ticket, evaluations)
        for number, reason in failed.items():
            ticket = self._tickets[number]
            self._forget(number)
            ticket.answer(JobFailed(reason))
        return seconds

    def _tick(self, model: str, slices: Sequence[Slice]) -> set[int]:
        return self._runner.tick(model, {piece.job: self._tickets[piece.job].job for piece in slices}, slices)

    def _preview(self, ticket: Ticket) -> None:
        """Show the job where its hindmost rows have come to the next step at which that is asked for."""
        if ticket.on_preview is None or not ticket.preview_due(step := self._scheduler.step_of(ticket.number)):
            return
        try:
            preview = self._runner.preview(ticket.number, step)
        except Exception as error:  # a picture on the way may be lost; the job goes on
            log.error("a preview failed", model=ticket.job.model, exc_info=error)
            return
        ticket.call(ticket.on_preview, preview)

    def _finish(self, number: int) -> None:
        ticket = self._tickets[number]
        try:
            data = self._runner.take(number)
        except Exception as error:
            log.error("samples could not be taken", model=ticket.job.model, exc_info=error)
            self._forget(number)
            return ticket.answer(JobFailed(f"{type(error).__name__} after sampling"))
        self._forget(number)
        seconds = self._metrics.sampling_seconds.labels(dataset=self.models[ticket.job.model].dataset)
        ticket.answer(ticket.sampled(data, time.monotonic(), seconds))

    def _forget(self, number: int) -> None:
        ticket = self._tickets.pop(number)
        ticket.spans.ended()
        self._scheduler.remove(number)
        self._runner.drop(number)
        self._count_down(ticket, ticket.network_evaluations_left)
        if not self._given_up:
            ticket.call(ticket.settle)  # one whose client has gone was settled before its last tick ended

    def _count_down(self, ticket: Ticket, network_evaluations: int) -> None:
        ticket.network_evaluations_left -= network_evaluations
        self.backlog.done(ticket.number, network_evaluations)

    def _answer_the_rest(self) -> None:
        """Nobody waits for a thread that has ended."""
        self.ended = True
        loading = chain(*(commands for commands, _ in self._loading.values()))
        left: list[Awaited[Any]] = [*self._tickets.values(), *loading, *chain(*self._retired.values())]
        while not self.inbox.empty():  # nobody else takes commands
            if isinstance(command := self.inbox.get(), Awaited):
                left.append(command)
        for unanswered in left:
            unanswered.answer(WorkerLost("the engine stopped before this was done"))
