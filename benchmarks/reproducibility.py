"""The same request, the same bytes: under load, alone, streamed, and after a restart."""

import asyncio
import hashlib
import json
import random

from rich.table import Table

from benchmarks import load, machine
from benchmarks.engine import mixed_request
from benchmarks.server import spirale


def run(requests: int) -> None:
    machine.console.print(f"[bold]reproducibility[/] · {machine.describe()}")
    draw = random.Random(0)
    bodies = [_request(draw) for _ in range(requests)]
    with spirale("--max-queued-seconds", "3600", "--deadline-seconds", "3600") as (url, _):
        crowd = asyncio.run(_ask(url, bodies, at_once=True))
        streamed = asyncio.run(_ask(url, bodies, at_once=True, streamed=True))
        held = asyncio.run(_what_holds(url))
    with spirale() as (url, _):
        alone = asyncio.run(_ask(url, bodies, at_once=False))
    table = Table(
        "", "equal to the one alone, after a restart", title=f"{requests} seeded requests, shipped checkpoints"
    )
    for name, answers in (("all at once", crowd), ("all at once, streamed", streamed)):
        same = sum(one == other for one, other in zip(answers, alone, strict=True))
        table.add_row(name, f"[bold]{same} of {requests}[/]")
    machine.console.print(table)
    machine.console.print(f"/models says: {held}")


def _request(draw: random.Random) -> dict:
    if draw.random() < 0.5:
        return mixed_request(draw)
    return {
        "dataset": draw.choice(["gaussian", "spiral"]),
        "n": draw.choice([1, 10, 500, 3000]),
        "seed": draw.randrange(2**31),
        "sampler": draw.choice(["ddpm", "ddim", "dpmpp-2m"]),
        "steps": draw.choice([5, 20, 50]),
    }


async def _ask(url: str, bodies: list[dict], *, at_once: bool, streamed: bool = False) -> list[str]:
    """A digest of each answer's samples, as JSON has them."""
    async with load.client(url) as http:

        async def one(body: dict) -> str:
            accept = "text/event-stream" if streamed else "application/json"
            answer = await http.post("/sample", json=body, headers={"Accept": accept})
            answer.raise_for_status()
            text = answer.text.rsplit("event: result\ndata: ", 1)[1] if streamed else answer.text
            found = json.loads(text)
            return hashlib.sha256(json.dumps(found.get("images") or found["points"]).encode()).hexdigest()

        if at_once:
            return await asyncio.gather(*(one(body) for body in bodies))
        return [await one(body) for body in bodies]


async def _what_holds(url: str) -> str:
    async with load.client(url) as http:
        return (await http.get("/models")).json()["seeds"]
