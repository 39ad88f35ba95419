"""How much of the device the engine gets out, and how long short and long requests wait for each other."""

import asyncio
import random
import re
import statistics
import time
from collections.abc import Coroutine, Sequence
from typing import Any

import httpx
from rich.table import Table

from benchmarks import load, machine
from benchmarks.server import spirale

MODEL = "mnist-cfg"
CLIENTS = 64
SAMPLERS = ["ddpm", "renoise", "ddim", "dpmpp-2m"]


def run(seconds: float, rounds: int) -> None:
    """Bare network and served load by turns, a few seconds each: a machine is seldom as fast as a minute ago."""
    machine.console.print(f"[bold]engine[/] · {machine.describe()}")
    bare, served = [machine.bare_curve(MODEL)], []
    with spirale("--max-queued-seconds", "3600", "--deadline-seconds", "3600") as (url, _):
        for _ in range(rounds):
            served.append(asyncio.run(_through_http(url, seconds)))
            bare.append(machine.bare_curve(MODEL))
    table = Table("batch size", "bare network, evaluations/s", title=f"{MODEL}, {', '.join(machine.served(MODEL))}")
    for size in bare[0]:
        table.add_row(str(size), f"{statistics.median(curve[size] for curve in bare):.0f}")
    machine.console.print(table)
    best = max(bare[0], key=lambda size: statistics.median(curve[size] for curve in bare))
    table = Table(
        "round", f"bare, batch size {best}", "through HTTP", "ratio", title=f"saturating mixed load, {CLIENTS} clients"
    )
    ratios = []
    for number, rate in enumerate(served):
        around = (bare[number][best] + bare[number + 1][best]) / 2  # just before and just after
        ratios.append(rate / around)
        table.add_row(str(number + 1), f"{around:.0f}", f"{rate:.0f}", f"{ratios[-1]:.3f}")
    table.add_row("median", "", "", f"[bold]{statistics.median(ratios):.3f}[/]")
    machine.console.print(table)


async def _through_http(url: str, seconds: float) -> float:
    """Evaluations per second that the server counts while clients keep it busy with requests of all kinds."""

    draw = random.Random()

    async def ask(http: httpx.AsyncClient, number: int) -> None:
        (await http.post("/sample", json=mixed_request(draw))).raise_for_status()

    return await network_evaluations_per_second(url, MODEL, load.closed(url, CLIENTS, 3600, ask), seconds)


async def network_evaluations_per_second(
    url: str, model: str, clients: Coroutine[None, None, object], seconds: float
) -> float:
    """That the server counts while the clients keep it busy; they are ended after it. Raises what ended one before."""
    busy = asyncio.create_task(clients)
    await asyncio.sleep(2)  # until the queue is full
    async with load.client(url) as http:
        before, started = _evaluations((await http.get("/metrics")).text, model), time.perf_counter()
        await asyncio.sleep(seconds)
        after, ended = _evaluations((await http.get("/metrics")).text, model), time.perf_counter()
    await end([busy])
    return (after - before) / (ended - started)


async def end(busy: Sequence[asyncio.Task[Any]]) -> None:
    """End clients that keep a server busy. Raises what ended one before: then it was less busy than it was to be."""
    died = [task for task in busy if task.done()]
    for task in busy:
        task.cancel()
    await asyncio.gather(*busy, return_exceptions=True)
    for task in died:
        task.result()


def mixed_request(draw: random.Random) -> load.Body:
    """Any sampler, steps, label, guidance and number of samples, of one model: rows that agree in nothing else."""
    fields: load.Body = {
        "dataset": "mnist",
        "model": MODEL,
        "seed": draw.randrange(2**31),
        "sampler": draw.choice(SAMPLERS),
        "steps": draw.choice([5, 10, 10, 20, 20, 50]),
        "n": draw.choice([1, 2, 4, 8, 16, 32, 64]),
    }
    if draw.random() < 0.8:
        fields |= {"label": draw.randrange(10), "guidance_scale": draw.choice([1, 1.5, 3])}
    return fields


def _evaluations(metrics: str, model: str) -> float:
    """Of all devices."""
    line = rf'^spirale_network_evaluations_total{{device="[^"]+",model="{model}"}} (\S+)$'
    return sum(map(float, re.findall(line, metrics, re.MULTILINE)))


def run_latency(requests: int) -> None:
    machine.console.print(f"[bold]latency[/] · {machine.describe()}")
    with spirale("--max-queued-seconds", "3600", "--deadline-seconds", "3600") as (url, _):
        idle = asyncio.run(_short_ones(url, requests, []))
        among = asyncio.run(_short_ones(url, requests, [dict(steps=1000)] * 64))
        long_idle = asyncio.run(_long_one(url, 0))
        long_among = asyncio.run(_long_one(url, 64))
    table = Table("", "p50", "p95", "p99", title="10 steps, one image, unguided; milliseconds")
    for name, seconds in (("idle server", idle), ("among 64 clients' 1000-step requests", among)):
        table.add_row(name, *(f"{1000 * p:.0f}" for p in load.percentiles(seconds)))
    ratio = load.percentiles(among)[2] / load.percentiles(idle)[0]
    table.add_row("[bold]p99 / idle p50[/]", "", "", f"[bold]{ratio:.2f}[/]")
    machine.console.print(table)
    table = Table("", "seconds", title="1000 steps, one image, unguided")
    table.add_row("idle server", f"{long_idle:.1f}")
    table.add_row("under 64 clients' 10-step requests", f"{long_among:.1f}")
    table.add_row("[bold]share of its speed[/]", f"[bold]{long_idle / long_among:.2f}[/]")
    machine.console.print(table)


async def _post(http: httpx.AsyncClient, **fields: object) -> float:
    started = time.perf_counter()
    body = {"dataset": "mnist", "model": MODEL, "label": 3, "guidance": "none", "sampler": "ddim", **fields}
    (await http.post("/sample", json=body)).raise_for_status()
    return time.perf_counter() - started


async def _short_ones(url: str, requests: int, background: list[load.Body]) -> list[float]:
    """The times of so many 10-step requests, one at a time at random moments, while `background` runs for ever."""
    async with load.client(url) as http:

        async def for_ever(fields: load.Body) -> None:
            while True:
                await _post(http, **fields)

        busy = [asyncio.create_task(for_ever(fields)) for fields in background]
        await asyncio.sleep(5 if busy else 0)
        seconds = []
        for _ in range(requests):
            await asyncio.sleep(random.random() * 0.2)
            seconds.append(await _post(http, steps=10))
        await end(busy)
    return seconds


async def _long_one(url: str, clients: int) -> float:
    async with load.client(url) as http:

        async def for_ever() -> None:
            while True:
                await _post(http, steps=10)

        busy = [asyncio.create_task(for_ever()) for _ in range(clients)]
        await asyncio.sleep(2 if busy else 0)
        seconds = await _post(http, steps=1000)
        await end(busy)
    return seconds
