"""A span for every request, within the caller's trace, by the headers of W3C Trace Context."""

from typing import TYPE_CHECKING

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.middleware import POLLED
from service.spans import REQUEST_SPANS

if TYPE_CHECKING:  # it needs the extra otel
    from service.open_telemetry import Traces

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "_OTHER"
"""As OpenTelemetry's conventions call any other method, of which a client may invent many."""


class TraceContext:
    """Reads `traceparent`, answers with the one of its own span, and writes the trace's id into the log. Whoever polls
    is not traced."""

    def __init__(self, app: ASGIApp, traces: "Traces"):
        self.app, self._traces = app, traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in POLLED:
            return await self.app(scope, receive, send)
        method = scope["method"] if scope["method"] in METHODS else OTHER
        spans = self._traces.request(method, scope["path"], Headers(scope=scope))
        status = 0

        async def with_context(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update(spans.headers)
            await send(message)

        token = REQUEST_SPANS.set(spans)
        try:
            with structlog.contextvars.bound_contextvars(trace_id=spans.trace_id):
                await self.app(scope, receive, with_context)
        finally:
            REQUEST_SPANS.reset(token)
            spans.end(method, getattr(scope.get("route"), "path", None), status)
