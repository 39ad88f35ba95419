"""A request's progress as server-sent events: x̂0 on the way, then the answer."""

import asyncio
import json
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from dataclasses import replace

import numpy as np

from service.answers import encode_preview, encoders
from service.catalog import Resolved
from service.engine.engine import Engine
from service.engine.job import EngineError
from service.problems import of_engine

MEDIA_TYPE = "text/event-stream"
DEFAULT_PREVIEWS = 10
PING_SECONDS = 15.0  # of silence, after which a comment keeps the connection alive


def preview_steps(previews: int, steps: int) -> tuple[int, ...]:
    """After which of `steps` steps to show x̂0: evenly spread, at most `previews` of them, before the last step."""
    return tuple(sorted({round(i * steps / (previews + 1)) for i in range(1, previews + 1)} - {0, steps}))


class Stream:
    """An accepted request whose progress is to be told. Iterate `events` to its end, or close it."""

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

    async def events(self) -> AsyncIterator[bytes]:
        """`progress` (step, of, a picture of x̂0 or its points) as often as asked, then one `result`: the JSON answer
        with its timings in seconds; or one `error`, a problem. Closing it early frees the rows."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                try:
                    seen = await asyncio.wait_for(self._seen.get(), PING_SECONDS)
                except TimeoutError:
                    yield b": still at it\n\n"
                    continue
                if seen is None:
                    break
                step, x0 = seen
                shown = await loop.run_in_executor(self._encoding, encode_preview, self._resolved, x0, self._zoom)
                yield _event("progress", {"step": step, "of": len(self._resolved.job.plan), **shown})
            samples = self._result.result()
            started = loop.time()
            encode = encoders(self._resolved.checkpoint.config.data.kind)["application/json"]
            answer = await loop.run_in_executor(self._encoding, encode, self._resolved, samples.data, self._zoom)
            timings = {
                "queue": samples.queue_seconds,
                "sample": samples.sampling_seconds,
                "encode": loop.time() - started,
            }
            yield _event("result", json.loads(answer) | {"timings": timings})
        except EngineError as error:
            yield _event("error", of_engine(error).body())
            raise
        finally:
            self._result.cancel()


def _event(name: str, data: dict) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
