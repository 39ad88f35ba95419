"""Random valid, invalid and abandoned requests for a long while."""

import asyncio
import collections
import contextlib
import json
import random
import re
import time

import httpx
from rich.table import Table

from benchmarks import load, machine
from benchmarks.engine import mixed_request
from benchmarks.server import spirale

CLIENTS = 24
WARM_UP = 0.15  # of the time: until all sizes of work have been seen
BY_DESIGN = {503, 504}
LEFT = "left early"
TOLERANCE = 0.05  # of resident memory


def run(minutes: float) -> int:
    """The exit status: 0 where nothing was wrong."""
    machine.console.print(f"[bold]soak[/], {minutes:g} minutes · {machine.describe()}")
    with spirale("--max-queued-seconds", "8", "--deadline-seconds", "10", "--log-format", "json") as (url, process):
        statuses, memory, left = asyncio.run(_soak(url, process.pid, minutes * 60))
    warm = memory[int(len(memory) * WARM_UP) :]
    table = Table("", "", title=f"{sum(statuses.values())} requests of {CLIENTS} clients")
    for status, count in sorted(statuses.items(), key=str):
        table.add_row(str(status), str(count))
    half = len(warm) // 2
    first, last = sum(warm[:half]) / half, sum(warm[half:]) / (len(warm) - half)
    drift = last / first - 1
    spread = max(abs(max(warm) / first - 1), abs(min(warm) / first - 1))
    table.add_row("memory after warm-up, MiB", f"{first:.0f} → {last:.0f}, {drift:+.1%}, farthest {spread:.1%}")
    table.add_row("rows active and queued at the end", f"{left:.0f}")
    good = not any(map(is_wrong, statuses)) and spread <= TOLERANCE and left == 0
    verdict = "nothing wrong" if good else "[red]something is wrong[/]"
    table.add_row("[bold]verdict[/]", f"[bold]{verdict}[/]")
    machine.console.print(table)
    return 0 if good else 1


async def _soak(url: str, pid: int, seconds: float) -> tuple[collections.Counter[int | str], list[float], float]:
    statuses: collections.Counter[int | str] = collections.Counter()
    memory: list[float] = []
    draw = random.Random(0)

    async def ask(http: httpx.AsyncClient, number: int) -> None:
        kind = draw.choices(["valid", "points", "invalid", "raw", "abandoned", "stream"], [30, 20, 15, 5, 20, 10])[0]
        try:
            if kind == "valid":
                answer = await http.post("/sample", json=mixed_request(draw), headers={"Accept": _accept(draw)})
            elif kind == "points":
                answer = await http.post("/sample", json=_points(draw))
            elif kind == "invalid":
                answer = await http.post("/sample", json=_invalid(draw))
            elif kind == "raw":
                answer = await http.post("/sample", content=draw.randbytes(draw.randrange(4000)))
            else:
                accept = "text/event-stream" if kind == "stream" else "*/*"
                patience = draw.random() * (3 if kind == "stream" else 0.5)
                body = mixed_request(draw)
                answer = await asyncio.wait_for(http.post("/sample", json=body, headers={"Accept": accept}), patience)
            statuses[status_of(answer)] += 1
            if answer.status_code == 429:
                await asyncio.sleep(draw.random())
        except TimeoutError:
            statuses[LEFT] += 1
        except httpx.TransportError as error:
            statuses[type(error).__name__] += 1

    async def watch() -> None:
        while True:
            memory.append(_resident(pid))
            await asyncio.sleep(1)

    watching = asyncio.create_task(watch())
    await load.closed(url, CLIENTS, seconds, ask)
    watching.cancel()
    async with load.client(url) as http:
        deadline = time.monotonic() + 30
        left = float("inf")
        while left and time.monotonic() < deadline:
            with contextlib.suppress(httpx.TransportError):
                left = rows_in((await http.get("/metrics")).text)
            await asyncio.sleep(0.2)
    return statuses, memory, left


def is_wrong(status: int | str) -> bool:
    """Of an answer, or what the client met instead of one: whatever broke that it did not leave itself."""
    return status != LEFT if isinstance(status, str) else status >= 500 and status not in BY_DESIGN


def status_of(answer: httpx.Response) -> int:
    """Of a stream that failed it is in its last event."""
    if not answer.headers.get("content-type", "").startswith("text/event-stream"):
        return answer.status_code
    last = answer.text.rstrip().rpartition("\n\n")[2]
    lines = dict(line.split(": ", 1) for line in last.splitlines())
    return int(json.loads(lines["data"])["status"]) if lines.get("event") == "error" else answer.status_code


def rows_in(metrics: str) -> float:
    """Rows that the service has, in work and waiting, on all devices."""
    found = re.findall(r"^spirale_rows_(?:active|queued)(?:\{[^}]*\})? (\S+)$", metrics, re.MULTILINE)
    assert found, "the metrics tell nothing of rows"
    return sum(map(float, found))


def _accept(draw: random.Random) -> str:
    return draw.choice(["*/*", "application/json", "image/png", "application/zip", "application/x-npy", "text/csv"])


def _points(draw: random.Random) -> load.Body:
    return {
        "dataset": draw.choice(["spiral", "gaussian"]),
        "n": draw.choice([1, 500, 10_000]),
        "steps": draw.randint(1, 60),
    }


def _invalid(draw: random.Random) -> load.Body:
    """A request with one thing wrong."""
    wrong: dict[str, list[object]] = {
        "dataset": ["mnits", "", None, 7],
        "label": [10, -1, "seven", [], [1] * 65, 1.5],
        "n": [0, 65, "many"],
        "steps": [0, 1001, -3],
        "seed": [-1, 2**63],
        "sampler": ["euler"],
        "guidance": ["clip", "strong"],
        "guidance_scale": [-1, 21],
        "eta": [0.5],
        "colour": ["red"],
        "zoom": [0, 17],
    }
    field = draw.choice(list(wrong))
    return {"dataset": "mnist", "label": 3, "sampler": "dpmpp-2m"} | {field: draw.choice(wrong[field])}


def _resident(pid: int) -> float:
    """MiB."""
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS"))
