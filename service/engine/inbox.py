"""The commands that the event loop puts into a worker's inbox, and how it hears back."""

import asyncio
import contextlib
import queue
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
from prometheus_client import Histogram

from service.engine.job import Job, Preview, Samples
from service.engine.key import ANYBODY, Key
from service.engine.served_model import Served
from service.spans import NO_JOB_SPANS, JobSpans

OnPreview = Callable[[Preview], None]
"""Called on the event loop."""


T = TypeVar("T")


@dataclass(eq=False)
class Awaited(Generic[T]):
    """Work of the engine's thread that the event loop waits for."""

    future: asyncio.Future[T]
    loop: asyncio.AbstractEventLoop

    def call(self, function: Callable[..., object], *arguments: object) -> None:
        """Have the event loop call that."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self.loop.call_soon_threadsafe(function, *arguments)

    def answer(self, outcome: T | Exception) -> None:
        def deliver() -> None:
            if self.future.done():
                return  # the client went away meanwhile
            if isinstance(outcome, Exception):
                self.future.set_exception(outcome)
            else:
                self.future.set_result(outcome)

        self.call(deliver)


@dataclass(eq=False)
class Ticket(Awaited[Samples]):
    """An accepted job.

    key          whose it is
    background   it gives way to all others that are not
    losses       workers that ended while it ran
    charged      device-seconds that its key was charged: by estimate, until it is settled
    used         device-seconds that it has taken
    """

    number: int
    job: Job
    on_preview: OnPreview | None
    submitted: float
    network_evaluations_left: int
    key: Key = ANYBODY
    background: bool = False
    started: float | None = None
    previews_shown: int = 0
    losses: int = 0
    charged: float = 0.0
    used: float = 0.0
    spans: JobSpans = NO_JOB_SPANS

    def begin(self, at: float, queue_seconds: Histogram) -> None:
        """It has its first tick at that moment of `time.monotonic`; `queue_seconds` is that of its data set."""
        self.started = at
        self.spans.began(at)
        if not self.background:
            queue_seconds.observe(at - self.submitted, self.spans.exemplar)

    def sampled(self, data: np.ndarray, at: float, sampling_seconds: Histogram) -> Samples:
        """Its answer, at that moment of `time.monotonic`; `sampling_seconds` is that of its data set."""
        assert self.started is not None  # its rows have been in a tick
        seconds = at - self.started
        if not self.background:
            sampling_seconds.observe(seconds, self.spans.exemplar)
        return Samples(data, self.started - self.submitted, seconds)

    def preview_due(self, step: int) -> bool:
        """Whether a preview that is asked for at this step or before it was not shown; it counts as shown then."""
        due = sum(asked <= step for asked in self.job.preview_steps[self.previews_shown :])
        self.previews_shown += due
        return due > 0

    def settle(self) -> None:
        """Charge its key for what it has taken, no more and no less. On the event loop, as often as one likes."""
        self.key.use(self.used - self.charged)
        self.charged = self.used

    def again(self) -> "Ticket":
        """The same job for another worker, from its first step; previews that were shown are not shown again."""
        return replace(
            self,
            future=self.loop.create_future(),
            network_evaluations_left=self.job.network_evaluations,
            started=None,
            used=0.0,
            losses=self.losses + (self.started is not None),
        )


@dataclass(frozen=True)
class Cancel:
    """Nobody waits for that ticket any more."""

    number: int


@dataclass(eq=False)
class Load(Awaited[None]):
    """Make one more model ready."""

    key: str
    served: Served


@dataclass(eq=False)
class Retire(Awaited[None]):
    """Let go of a model when what it has accepted is done; answered then."""

    key: str


Inbox = queue.SimpleQueue[Ticket | Cancel | Load | Retire | None]
"""None wakes the thread, for it to see that it is to end."""
