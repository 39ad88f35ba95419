"""What a request tells of itself as it runs. Where traces are off nobody listens, and this is all that there is."""

from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar


class JobSpans:
    """Hears how a job of the engine goes, on a worker's thread. Times are of `time.monotonic`. This one ignores all.

    exemplar  the labels of a histogram's exemplar, by which a trace is found; None without one
    """

    exemplar: dict[str, str] | None = None

    def began(self, at: float) -> None:
        """It has its first tick, and waits no more. Of a job that is run again, once more."""

    def ticked(self, at: float, seconds: float, rows: int, batch: int) -> None:
        """A tick is over: `rows` of this job were among the `batch` rows of all."""

    def ended(self) -> None:
        """It is done, has failed, or was cancelled."""


class RequestSpans:
    """The same for a request. This one ignores all."""

    exemplar: dict[str, str] | None = None

    def of_job(self) -> JobSpans:
        """Those of a job that the request submits now."""
        return NO_JOB_SPANS

    def stage(self, name: str) -> AbstractContextManager[None]:
        """A part of the request that is not the engine's."""
        return nullcontext()


NO_JOB_SPANS = JobSpans()
REQUEST_SPANS: ContextVar[RequestSpans] = ContextVar("request_spans", default=RequestSpans())  # noqa: B039 (it has no state)
"""Those of the request that the running task answers."""
