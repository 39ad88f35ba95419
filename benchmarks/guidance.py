"""What guidance costs: row-steps per second of guided rows, over those of plain rows, through HTTP."""

import asyncio
import random
import statistics

import httpx
from rich.table import Table

from benchmarks import load, machine
from benchmarks.engine import network_evaluations_per_second
from benchmarks.server import spirale

CLIENTS = 32
# Name → (model, the request's other fields, network evaluations a step of one row)
WAYS: dict[str, tuple[str, load.Body, int]] = {
    "plain": ("mnist-ddpm", {}, 1),
    "classifier": ("mnist-ddpm", {"label": 7, "guidance": "classifier", "guidance_scale": 2}, 2),
    "classifier-free": ("mnist-cfg", {"label": 7, "guidance_scale": 1.5}, 2),
}


def run(seconds: float, rounds: int) -> None:
    machine.console.print(f"[bold]guidance[/] · {machine.describe()}")
    rates: dict[str, list[float]] = {name: [] for name in WAYS}
    with spirale("--max-queued-seconds", "600") as (url, _):
        for _ in range(rounds):
            for name, (model, fields, evaluations) in WAYS.items():
                rates[name].append(asyncio.run(_rate(url, model, fields, seconds)) / evaluations)
    table = Table("", "row-steps per second", "over plain, median of rounds", title=f"{CLIENTS} clients, 8 images each")
    for name, of in rates.items():
        ratio = statistics.median(one / plain for one, plain in zip(of, rates["plain"], strict=True))
        table.add_row(name, f"{statistics.median(of):.0f}", f"[bold]{ratio:.2f}[/]")
    machine.console.print(table)


async def _rate(url: str, model: str, fields: load.Body, seconds: float) -> float:
    async def ask(http: httpx.AsyncClient, number: int) -> None:
        body = {
            "dataset": "mnist",
            "model": model,
            "sampler": "ddim",
            "steps": 20,
            "n": 8,
            "seed": random.randrange(2**31),
            **fields,
        }
        (await http.post("/sample", json=body)).raise_for_status()

    return await network_evaluations_per_second(url, model, load.closed(url, CLIENTS, 3600, ask), seconds)
