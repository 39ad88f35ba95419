"""A request's progress as server-sent events: its place in the queue, x̂0 and x_t at some steps, then the answer."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from dataclasses import replace

import structlog
import torch
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from model.data import to_uint8
from model.noise import normal
from service.engine.backlog import Ahead
from service.engine.engine import Engine
from service.engine.job import EngineError, JobFailed, Preview, Samples
from service.engine.key import ANYBODY, Key
from service.http.problems import of_engine, unexpected
from service.requests.resolve import Resolved
from service.responses.representations import encode_preview, encoders
from service.spans import REQUEST_SPANS

log = structlog.get_logger(__name__)

MEDIA_TYPE = "text/event-stream"
DEFAULT_PREVIEWS = 10
SCHEMA = {
    "type": "object",
    "description": "Each event: `waiting` while others run first, with how many jobs and seconds of the device; "
    "`progress` with a picture of x̂0 or its points; then one `result` or one `error`. The last has the id `end`; a "
    "browser's EventSource that comes again with it is answered 204, and stays away.",
    "required": ["event", "data"],
    "properties": {
        "id": {"const": "end"},
        "event": {"enum": ["waiting", "progress", "result", "error"]},
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
PING = b": still at it\n\n"
WAITING_SECONDS = 1.0  # between two events that tell how long the queue is


def preview_steps(previews: int, steps: int) -> tuple[int, ...]:
    """After which of `steps` steps to show x̂0: evenly spread, at most `previews` of them, before the last step."""
    return tuple(sorted({round(i * steps / (previews + 1)) for i in range(1, previews + 1)} - {0, steps}))


class Stream:
    """The progress of an accepted request. `finished` once its last event was sent; close it in any case."""

    def __init__(
        self,
        engine: Engine,
        resolved: Resolved,
        previews: int,
        zoom: int,
        encoding: Executor,
        noisy: bool = False,
        key: Key = ANYBODY,
    ):
        """Submits the job. `noisy`: x_t is shown beside x̂0, and first of all the rows that the run starts from.

        Raises RateExceeded, EngineFull or EngineStopped.
        """
        self._engine = engine
        self._resolved = resolved
        self._noisy = noisy
        self._zoom = zoom
        self._encoding = encoding
        self._seen: asyncio.Queue[Preview | None] = asyncio.Queue()
        job = replace(resolved.job, preview_steps=preview_steps(previews, len(resolved.job.plan)))
        self._ticket = engine.submit(job, self._seen.put_nowait, key=key)
        self._result = asyncio.ensure_future(engine.result(self._ticket))
        self._result.add_done_callback(lambda _: self._seen.put_nowait(None))
        self.finished = False

    def close(self) -> None:
        """Free the rows, where the samples are not done."""
        self._result.cancel()

    async def events(self) -> AsyncIterator[bytes]:
        """`waiting` (jobs, seconds) while others run first. `progress` (step, of, timestep, a picture of x̂0 or its
        points) as often as asked, then one `result`: the JSON answer with its timings in seconds. Where the request
        fails, an `error` ends it, a problem; the exception follows."""
        try:
            if self._noisy:
                yield await self._encode(_start_event, self._resolved, self._zoom)
            async for preview in self._progress():
                if preview is None:
                    yield PING
                elif isinstance(preview, Ahead):
                    yield _event("waiting", json.dumps({"jobs": preview.jobs, "seconds": round(preview.seconds, 1)}))
                else:
                    yield await self._encode(_progress_event, self._resolved, preview, self._zoom, self._noisy)
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

    async def _progress(self) -> AsyncIterator[Preview | Ahead | None]:
        """Previews until the result is there; until the job begins, what runs before it; None after long silence."""
        while True:
            ahead = self._engine.ahead_of(self._ticket)
            if ahead is not None and ahead.jobs:
                yield ahead
            try:
                seen = await asyncio.wait_for(self._seen.get(), PING_SECONDS if ahead is None else WAITING_SECONDS)
            except TimeoutError:
                if ahead is None:
                    yield None
                continue
            if seen is None:
                return
            yield seen

    async def _encode(self, function: Callable[..., bytes], *arguments: object) -> bytes:
        """In the pool: pictures, and JSON of thousands of points, would hold up the event loop."""
        with REQUEST_SPANS.get().stage("encode"):
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


def _start_event(resolved: Resolved, zoom: int) -> bytes:
    """Step 0: the rows that the run starts from. Nothing has been computed, so that there is no x̂0."""
    job, data = resolved.job, resolved.checkpoint.config.data
    seeds = torch.from_numpy(job.seeds)
    rows = normal(seeds, torch.zeros_like(seeds), data.shape) if job.start is None else job.start
    restored = data.restore(rows)
    start = to_uint8(restored) if data.kind == "images" else restored.cpu().numpy()
    fields = {"step": 0, "of": len(job.plan), "timestep": int(job.plan.t[0])}
    return _event("progress", json.dumps({**fields, "x_t": encode_preview(resolved, start, zoom)}))


def _progress_event(resolved: Resolved, preview: Preview, zoom: int, noisy: bool) -> bytes:
    plan = resolved.job.plan
    fields = {"step": preview.step, "of": len(plan), "timestep": int(plan.s[preview.step - 1])}
    x_t = {"x_t": encode_preview(resolved, preview.x_t, zoom)} if noisy else {}
    return _event(
        "progress", json.dumps({**fields, **encode_preview(resolved, resolved.exact(preview.x0), zoom), **x_t})
    )


def _result_event(resolved: Resolved, samples: Samples, zoom: int) -> bytes:
    """The JSON answer with one field more; its text is not parsed again for that."""
    started = time.perf_counter()
    encode = encoders(resolved.checkpoint.config.data.kind)["application/json"]
    answer = encode(resolved, resolved.exact(samples.data), zoom).decode()
    timings = {
        "queue": samples.queue_seconds,
        "sample": samples.sampling_seconds,
        "encode": time.perf_counter() - started,
    }
    return _event("result", f'{answer.removesuffix("}")},"timings":{json.dumps(timings)}}}', last=True)


def _event(name: str, json_text: str, last: bool = False) -> bytes:
    identity = f"id: {LAST_ID}\n" if last else ""
    return f"{identity}event: {name}\ndata: {json_text}\n\n".encode()
