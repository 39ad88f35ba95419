"""Traces by OpenTelemetry: the spans of requests go to a collector. It needs the extra `otel`."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, format_span_id, format_trace_id
from opentelemetry.trace import set_span_in_context as within
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from service import __version__
from service.spans import NO_JOB_SPANS, JobSpans, RequestSpans

EXPORT_SECONDS = 5.0
"""For the collector to take what it is sent."""
W3C = TraceContextTextMapPropagator()


def collector_at(address: str) -> SpanExporter:
    """What sends spans there by OTLP over HTTP; `address` is such as http://localhost:4318."""
    return OTLPSpanExporter(endpoint=f"{address.rstrip('/')}/v1/traces", timeout=EXPORT_SECONDS)


class Traces:
    """The traces of one app. They are sent in the background; what a collector does not take is lost, and logged."""

    def __init__(self, exporter: SpanExporter, share: float):
        """`share` of the requests without a parent are traced; one with a parent is if its parent is."""
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(share)),
            resource=Resource.create({"service.name": "spirale", "service.version": __version__}),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("spirale", __version__)

    def request(self, method: str, path: str, headers: Mapping[str, str]) -> "TracedRequest":
        """Begin the span of a request, within the `traceparent` of its headers if there is one."""
        attributes = {"http.request.method": method, "url.path": path}
        parent = W3C.extract(headers)
        span = self._tracer.start_span(method, parent, kind=SpanKind.SERVER, attributes=attributes)
        return TracedRequest(self._tracer, span, parent)

    def close(self) -> None:
        """Send what is left. Blocks."""
        self._provider.shutdown()


class TracedRequest(RequestSpans):
    """`end` it in any case. One that is not sampled records nothing, but passes its context on."""

    def __init__(self, tracer: Tracer, span: Span, parent: Context):
        self._tracer, self._span = tracer, span
        self._context = within(span, parent)
        context = span.get_span_context()
        self.trace_id = format_trace_id(context.trace_id)
        if span.is_recording():
            self.exemplar = {"trace_id": self.trace_id, "span_id": format_span_id(context.span_id)}

    @property
    def headers(self) -> dict[str, str]:
        """`traceparent`, and `tracestate` if one came, for whoever is to know of this span."""
        carrier: dict[str, str] = {}
        W3C.inject(carrier, self._context)
        return carrier

    def of_job(self) -> JobSpans:
        if self.exemplar is None:
            return NO_JOB_SPANS
        return TracedJob(self._tracer, self._context, self.exemplar)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        with self._tracer.start_as_current_span(name, self._context):
            yield

    def end(self, method: str, route: str | None, status: int) -> None:
        """`route` is such as /jobs/{job}; None where the path has none. `status` 0: nothing was answered."""
        if route is not None:
            self._span.update_name(f"{method} {route}")
            self._span.set_attribute("http.route", route)
        if status:
            self._span.set_attribute("http.response.status_code", status)
        if not 0 < status < 500:
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


class TracedJob(JobSpans):
    """A span `queue`, then one `sampling` with a `tick` for each tick that had rows of the job."""

    def __init__(self, tracer: Tracer, parent: Context, exemplar: dict[str, str]):
        self._tracer, self._parent, self.exemplar = tracer, parent, exemplar
        self._epoch = time.time_ns() - time.monotonic_ns()
        self._span, self._inside = tracer.start_span("queue", parent), parent

    def began(self, at: float) -> None:
        self._span.end(self._nanoseconds(at))
        self._span = self._tracer.start_span("sampling", self._parent, start_time=self._nanoseconds(at))
        self._inside = within(self._span, self._parent)

    def ticked(self, at: float, seconds: float, rows: int, batch: int) -> None:
        attributes = {"spirale.rows": rows, "spirale.batch_rows": batch}
        span = self._tracer.start_span("tick", self._inside, attributes=attributes, start_time=self._nanoseconds(at))
        span.end(self._nanoseconds(at + seconds))

    def ended(self) -> None:
        if self._span.is_recording():
            self._span.end()

    def _nanoseconds(self, at: float) -> int:
        """Since 1970, of a time of `time.monotonic`."""
        return self._epoch + round(at * 1e9)
