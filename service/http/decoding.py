"""What decodes pictures, draws noise and lays out long plans, in threads of its own: no answer waits for it."""

import asyncio
import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import TypeVar

from service.engine.job import EngineFull
from service.metrics import Metrics

THREADS = 2
MOST_WAITING = 32  # requests: a small one may bring a picture that takes half a second

R = TypeVar("R")


class Decoding:
    """Belongs to the event loop. As a context manager it has its threads until the context ends."""

    def __init__(self, metrics: Metrics):
        self._metrics = metrics
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="decode")
        self._waiting = 0
        self._seconds = 0.0  # that the last one took

    def __enter__(self) -> "Decoding":
        together = threading.Barrier(THREADS + 1)  # all threads are begun now: without memory none could be later
        for _ in range(THREADS):
            self._pool.submit(together.wait)
        together.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    async def run(self, function: Callable[..., R], *arguments: object) -> R:
        """What the function returns. Raises EngineFull where too many wait already."""
        if self._waiting >= MOST_WAITING:
            self._metrics.rejected.labels(reason="full").inc()
            wait = self._waiting * self._seconds / THREADS
            raise EngineFull(wait, retry_after=max(1, math.ceil(wait)))
        self._waiting += 1
        try:
            result, self._seconds = await asyncio.get_running_loop().run_in_executor(
                self._pool, _timed, function, *arguments
            )
            return result
        finally:
            self._waiting -= 1


def _timed(function: Callable[..., R], *arguments: object) -> tuple[R, float]:
    began = perf_counter()
    return function(*arguments), perf_counter() - began
