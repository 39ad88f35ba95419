"""The same request, the same bytes: under load, alone, streamed, and after a restart."""

import asyncio
import hashlib
import json
import random
from collections.abc import Callable, Container, Mapping

from rich.table import Table

from benchmarks import load, machine
from benchmarks.engine import SAMPLERS, mixed_request
from benchmarks.requests import PROMPTS, drawing
from benchmarks.server import spirale


def run(requests: int) -> None:
    machine.console.print(f"[bold]reproducibility[/] · {machine.describe()}")
    draw = random.Random(0)
    kinds = [list(KINDS)[number % len(KINDS)] for number in range(requests)]
    bodies = [KINDS[kind](draw) for kind in kinds]
    with spirale("--max-queued-seconds", "3600", "--deadline-seconds", "3600") as (url, _):
        crowd = asyncio.run(_ask(url, bodies, at_once=True))
        streamed = asyncio.run(_ask(url, bodies, at_once=True, streamed=True))
        held = asyncio.run(_what_holds(url))
    with spirale() as (url, _):
        alone = asyncio.run(_ask(url, bodies, at_once=False))
    table = Table(
        "equal to the one alone, after a restart",
        *("all at once", "all at once, streamed"),
        title=f"{requests} seeded requests, shipped checkpoints",
    )
    for kind in KINDS:
        table.add_row(kind, *(_equal(answers, alone, kinds, {kind}) for answers in (crowd, streamed)))
    table.add_row(
        "[bold]all[/]", *(f"[bold]{_equal(answers, alone, kinds, KINDS)}[/]" for answers in (crowd, streamed))
    )
    machine.console.print(table)
    machine.console.print(f"/models says: {held}")


def _equal(answers: list[str], alone: list[str], kinds: list[str], wanted: Container[str]) -> str:
    same = [one == other for one, other, kind in zip(answers, alone, kinds, strict=True) if kind in wanted]
    return f"{sum(same)} of {len(same)}"


def _points(draw: random.Random) -> load.Body:
    return {
        "dataset": draw.choice(["gaussian", "spiral"]),
        "n": draw.choice([1, 10, 500, 3000]),
        "seed": draw.randrange(2**31),
        "sampler": draw.choice(["ddpm", "ddim", "dpmpp-2m"]),
        "steps": draw.choice([5, 20, 50]),
    }


def _images(draw: random.Random) -> load.Body:
    return {
        "dataset": "mnist",
        "n": draw.choice([1, 2, 8, 32]),
        "seed": draw.randrange(2**31),
        "sampler": draw.choice(SAMPLERS),
        "steps": draw.choice([5, 10, 20]),
    }


def _prompt(draw: random.Random) -> load.Body:
    return _images(draw) | {
        "model": "mnist-text-cfg",
        "prompt": draw.choice(PROMPTS),
        "guidance_scale": draw.choice([1, 1.5, 3]),
    }


def _clip(draw: random.Random) -> load.Body:
    return _images(draw) | {"prompt": draw.choice(PROMPTS), "guidance": "clip", "guidance_scale": draw.choice([1, 3])}


def _classifier(draw: random.Random) -> load.Body:
    fields = {"guidance": "classifier", "label": draw.randrange(2), "guidance_scale": draw.choice([1, 3])}
    return _images(draw) | {"dataset": draw.choice(["mnist", "spiral"])} | fields


def _hint(draw: random.Random) -> load.Body:
    control = {"kind": draw.choice(["canny", "sketch"]), "image": drawing(draw), "scale": draw.choice([0.5, 1])}
    beside = draw.choice([{}, {"guidance_scale": 1}, {"label": draw.randrange(10)}])
    return _images(draw) | {"control": control} | beside


KINDS: Mapping[str, Callable[[random.Random], load.Body]] = {
    "labels": mixed_request,
    "points": _points,
    "prompts": _prompt,
    "CLIP": _clip,
    "classifier": _classifier,
    "hints": _hint,
}
"""What is asked for, in turn."""


async def _ask(url: str, bodies: list[load.Body], *, at_once: bool, streamed: bool = False) -> list[str]:
    """A digest of each answer's samples, as JSON has them."""
    async with load.client(url, timeout=None) as http:  # the last of all at once waits for all others

        async def one(body: load.Body) -> str:
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
        return str((await http.get("/models")).json()["seeds"])
