"""Load, and what became of it."""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TypeVar

import httpx
import numpy as np

TIMEOUT = 300.0  # seconds

Body = dict[str, object]
"""The fields of a request, as JSON has them."""

R = TypeVar("R")


@dataclass(frozen=True)
class Answered:
    kind: str
    status: int  # 0: no answer at all
    seconds: float
    came: float  # since the load began


def client(url: str, timeout: float | None = TIMEOUT) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
    return httpx.AsyncClient(base_url=url, timeout=timeout, limits=limits)


async def poisson(
    url: str,
    rate: float,
    seconds: float,
    patience: float,
    draw: Callable[[random.Random], tuple[str, Body]],
    path: str,
    hopeless: Callable[[list[Answered]], bool] = lambda answered: False,
) -> list[Answered]:
    """Open loop: requests come at `rate` a second whether or not earlier ones are answered (a closed loop would be
    kind to a slow server). `draw` gives (kind, body). What is not answered `patience` seconds after the last arrival
    is given up, with status 0. No more requests are sent once what was answered is `hopeless`."""
    randomness = random.Random(0)
    answered: list[Answered] = []
    async with client(url) as http:

        async def one(kind: str, body: Body, came: float) -> None:
            started = time.perf_counter()
            try:
                answer = await http.post(path, json=body)
                status = answer.status_code
            except (httpx.TransportError, asyncio.CancelledError):
                status = 0
            answered.append(Answered(kind, status, time.perf_counter() - started, came))

        tasks = []
        begin = time.perf_counter()
        due = min(randomness.expovariate(rate), seconds / 2)  # a load without any request would measure nothing
        while due < seconds and not hopeless(answered):
            await asyncio.sleep(max(0.0, begin + due - time.perf_counter()))
            tasks.append(asyncio.create_task(one(*draw(randomness), due)))
            due += randomness.expovariate(rate)
        end = begin + min(due, seconds)
        _, late = await asyncio.wait(tasks, timeout=max(0.0, end + patience - time.perf_counter()))
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks)
    return answered


async def closed(
    url: str, clients: int, seconds: float, work: Callable[[httpx.AsyncClient, int], Coroutine[None, None, R]]
) -> list[R]:
    """Closed loop: each of `clients` runs `work(http, number)` again and again until the time is over."""
    results: list[R] = []
    until = time.perf_counter() + seconds
    async with client(url) as http:

        async def go_on(number: int) -> None:
            while time.perf_counter() < until:
                results.append(await work(http, number))

        await asyncio.gather(*(go_on(number) for number in range(clients)))
    return results


def percentiles(seconds: list[float]) -> tuple[float, float, float]:
    """p50, p95, p99; NaN where there is nothing."""
    p50, p95, p99 = np.percentile(seconds, [50, 95, 99]) if seconds else (float("nan"),) * 3
    return float(p50), float(p95), float(p99)
