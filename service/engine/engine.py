"""The event loop's side of the engine: it accepts jobs, and awaits what the thread makes of them.

The event loop puts commands into an inbox and awaits a future; the thread (`service/engine/worker.py`) takes the
commands between two ticks and answers with `call_soon_threadsafe`. Neither touches what is the other's.
"""

import asyncio
import itertools
import queue
import threading
import time
from collections.abc import Mapping

from service.engine.inbox import Cancel, Inbox, Load, OnPreview, Retire, Ticket
from service.engine.job import DeadlinePassed, EngineFull, EngineStopped, Job, Samples
from service.engine.options import EngineOptions
from service.engine.served_model import Served
from service.engine.worker import Worker
from service.metrics import Metrics

ABORT_SECONDS = 5.0  # for the tick in hand, when the grace period is over


class Engine:
    """`start`, then `await sample(job)` from the event loop, as often and as concurrently as one likes."""

    def __init__(self, models: Mapping[str, Served], options: EngineOptions, metrics: Metrics):
        """`models`: by the key that a job names them by."""
        self._options = options
        self._metrics = metrics
        self._inbox: Inbox = queue.SimpleQueue()
        self._worker = Worker(models, options, metrics, self._inbox)
        self._thread = threading.Thread(target=self._worker.run, name="engine", daemon=True)
        self._numbers = itertools.count()
        self._draining = False
        self._retiring: set[str] = set()  # so that nothing is accepted behind a Retire
        metrics.heartbeat_age.set_function(lambda: self.heartbeat_age)
        metrics.queued_seconds.set_function(lambda: self._worker.backlog.seconds)

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
        self._worker.stopping = True
        self._inbox.put(None)  # wakes it
        if self._thread.is_alive():
            self._thread.join(grace_seconds)
            self._worker.aborted = True
            self._thread.join(ABORT_SECONDS)

    @property
    def loaded(self) -> bool:
        """Are the models warmed up?"""
        return self._worker.loaded

    @property
    def warmed(self) -> tuple[int, int]:
        """How many models are ready, and of how many."""
        return len(self._worker.curves), self._worker.total

    @property
    def ready(self) -> bool:
        """Is work taken?"""
        return self._worker.loaded and not self._draining and not self._worker.ended

    @property
    def draining(self) -> bool:
        return self._draining

    @property
    def warming(self) -> bool:
        """Is a model being made ready, now or beside those that are served?"""
        return self._worker.warming

    @property
    def failure(self) -> BaseException | None:
        """What the thread died of."""
        return self._worker.failure

    @property
    def heartbeat_age(self) -> float:
        """Seconds since the thread last showed that it moves."""
        return time.monotonic() - self._worker.beat

    def submit(self, job: Job, on_preview: OnPreview | None = None) -> Ticket:
        """Accept a job, or say at once why not. What is accepted must be awaited with `result`.

        Raises EngineFull or EngineStopped.
        """
        if not self.ready:
            raise EngineStopped("the engine takes no work: it is loading, draining or dead")
        if job.model not in self.keys:
            raise EngineStopped(f"the model {job.model} is not there: it was just replaced, or could not be made ready")
        try:
            short = self._worker.backlog.admit(job)
        except EngineFull:
            self._metrics.rejected.labels(reason="full").inc()
            raise
        loop = asyncio.get_running_loop()
        dataset = self._worker.runner.models[job.model].data.dataset
        ticket = Ticket(
            loop.create_future(), loop, next(self._numbers), job, dataset, on_preview, time.monotonic(),
            network_evaluations_left=job.network_evaluations, short=short,
        )  # fmt: skip
        self._inbox.put(ticket)
        if self._worker.ended:  # between the check above and here; the thread may not have seen the ticket
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
        """Make one more model ready, while the others go on between any two of its passes.

        Raises what it failed with, or EngineStopped.
        """
        loop = asyncio.get_running_loop()
        command = Load(loop.create_future(), loop, key, served)
        self._inbox.put(command)
        if self._worker.ended:
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
        return self._worker.curves.keys() - self._retiring

    def describe(self) -> dict:
        """Per device and model, what holds; for `GET /models`."""
        return {
            "device": str(self._worker.device),
            "seeds": (
                "the same request gives the same bytes on one machine type, version, thread count and settings, "
                "whatever else the server is doing"
                if self._worker.device.type == "cpu"
                else "the same request gives the same bytes on this device as far as its kernels are deterministic"
            ),
            "models": {
                key: {
                    "precision": model.precision,
                    "batch_sizes": list(model.curve.sizes),
                    "network_evaluations_per_second": {size: round(rate) for size, rate in model.curve.rates.items()},
                    "knee": model.curve.knee,
                    "guidance_models": {
                        guidance_model.name: list(model.denoiser.gradients[conditioning].sizes)
                        for conditioning, guidance_model in model.served.guidance_models.items()
                    },
                    "controlnets": {
                        control.name: list(model.denoiser.controls[kind].sizes)
                        for kind, control in model.served.controls.items()
                    },
                }
                for key, model in list(self._worker.runner.models.items())  # the thread may be loading more
            },
        }
