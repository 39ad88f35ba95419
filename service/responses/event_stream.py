"""A request's progress as server-sent events: x̂0 at some steps, then the answer."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from dataclasses import replace

import numpy as np
import structlog
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from service.engine.engine import Engine
from service.engine.job import EngineError, JobFailed, Samples
from service.http.problems import of_engine, unexpected
from service.requests.resolve import Resolved
from service.responses.representations import encode_preview, encoders

log = structlog.get_logger(__name__)

MEDIA_TYPE = "text/event-stream"
DEFAULT_PREVIEWS = 10
SCHEMA = {
    "type": "object",
    "description": "Each event: `progress` with a picture of x̂0 or its points, then one `result` or one `error`. The "
    "last has the id `end`; a browser's EventSource that comes again with it is answered 204, and stays away.",
    "required": ["event", "data"],
    "properties": {
        "id": {"const": "end"},
        "event": {"enum": ["progress", "result", "error"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
}
LAST_ID = "end"
"""The id of the last event: there is nothing to come back for."""
HEADERS = {
    "Cache-Control": "no-store, no-transform",  # who compresses the events would keep them back
    "X-Accel-Buffering": "no",  # nor may nginx
}
PING_SECONDS = 15.0  # of silence, after which a comment keeps the connection alive


def preview_steps(previews: int, steps: int) -> tuple[int, ...]:
    """After which of `steps` steps to show x̂0: evenly spread, at most `previews` of them, before the last step."""
    return tuple(sorted({round(i * steps / (previews + 1)) for i in range(1, previews + 1)} - {0, steps}))


class Stream:
    """The progress of an accepted request. `finished` once its last event was sent; close it in any case."""

    def __init__(self, engine: Engine, resolved: Resolved, previews: int, zoom: int, encoding: Executor):
        """Submits the job. Raises EngineFull or EngineStopped."""
        self._resolved = resolved
        self._zoom = zoom
        self._encoding = encoding
        self._seen: asyncio.Queue[tuple[int, np.ndarray] | None] = asyncio.Queue()
        job = replace(resolved.job, preview_steps=preview_steps(previews, len(resolved.job.plan)))
        ticket = engine.submit(job, lambda step, x0: self._seen.put_nowait((step, x0)))
        self._result = asyncio.ensure_future(engine.result(ticket))
        self._result.add_done_callback(lambda _: self._seen.put_nowait(None))
        self.finished = False

    def close(self) -> None:
        """Free the rows, where the samples are not done."""
        self._result.cancel()

    async def events(self) -> AsyncIterator[bytes]:
        """`progress` (step, of, a picture of x̂0 or its points) as often as asked, then one `result`: the JSON answer
        with its timings in seconds. Where the request fails, an `error` ends it, a problem; the exception follows."""
        try:
            async for step, x0 in self._progress():
                if x0 is None:
                    yield b": still at it\n\n"
                    continue
                yield await self._encode(_progress_event, self._resolved, step, x0, self._zoom)
            yield await self._encode(_result_event, self._resolved, self._result.result(), self._zoom)
        except EngineError as error:
            yield _event("error", json.dumps(of_engine(error).body()), last=True)
            self.finished = True
            raise
        except Exception as error:
            log.error("a stream failed", exc_info=error)
            yield _event("error", json.dumps(unexpected().body()), last=True)
            self.finished = True
            raise JobFailed("the stream has said so") from error
        self.finished = True

    async def _progress(self) -> AsyncIterator[tuple[int, np.ndarray | None]]:
        """(steps done, x̂0) until the result is there; (0, None) after long silence."""
        while True:
            try:
                seen = await asyncio.wait_for(self._seen.get(), PING_SECONDS)
            except TimeoutError:
                yield 0, None
                continue
            if seen is None:
                return
            yield seen

    async def _encode(self, function: Callable[..., bytes], *arguments: object) -> bytes:
        """In the pool: pictures, and JSON of thousands of points, would hold up the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._encoding, function, *arguments)


class EventStream(StreamingResponse):
    """The answer that sends a stream, counted by how it came out; its rows are freed whatever becomes of it."""

    def __init__(self, stream: Stream, counted: contextlib.ExitStack, headers: dict[str, str]):
        super().__init__(stream.events(), media_type=MEDIA_TYPE, headers=headers | HEADERS)
        self._stream = stream
        self._counted = counted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with contextlib.suppress(EngineError, ClientDisconnect), self._counted:
                await super().__call__(scope, receive, send)
                if not self._stream.finished:  # the server returns where the client went away
                    raise ClientDisconnect
        finally:
            self._stream.close()


def _progress_event(resolved: Resolved, step: int, x0: np.ndarray, zoom: int) -> bytes:
    preview = encode_preview(resolved, x0, zoom)
    return _event("progress", json.dumps({"step": step, "of": len(resolved.job.plan), **preview}))


def _result_event(resolved: Resolved, samples: Samples, zoom: int) -> bytes:
    """The JSON answer with one field more; its text is not parsed again for that."""
    started = time.perf_counter()
    encode = encoders(resolved.checkpoint.config.data.kind)["application/json"]
    answer = encode(resolved, samples.data, zoom).decode()
    timings = {
        "queue": samples.queue_seconds,
        "sample": samples.sampling_seconds,
        "encode": time.perf_counter() - started,
    }
    return _event("result", f'{answer.removesuffix("}")},"timings":{json.dumps(timings)}}}', last=True)


def _event(name: str, json_text: str, last: bool = False) -> bytes:
    identity = f"id: {LAST_ID}\n" if last else ""
    return f"{identity}event: {name}\ndata: {json_text}\n\n".encode()
