"""One request on an idle server, and beside a busy neighbour: by both backends, over a plain loop of PyTorch."""

import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPConnection
from typing import Any

import torch
from rich.table import Table

from benchmarks import machine
from benchmarks.server import spirale
from model.conditions import Conditions
from model.noise import sample_seeds
from model.plan import make_plan
from model.sampling_loop import sample
from service.engine.row_functions import Backend

MODEL = "mnist-cfg"
TEN, BESIDE = "a digit, 10 unguided steps", "the same beside a busy core"
DIGIT: dict[str, Any] = {"dataset": "mnist", "model": MODEL, "label": 7, "sampler": "ddim"}
ASKED: Mapping[str, Mapping[str, Any]] = {
    TEN: DIGIT | {"steps": 10, "guidance_scale": 1},
    "README's first digit, as advised": {"dataset": "mnist", "label": 7},
    "a digit without a label": {"dataset": "mnist"},
    "500 points of the spiral, as advised": {"dataset": "spiral", "n": 500},
}
BACKENDS: Mapping[Backend, tuple[str, ...]] = {
    "onnx": ("--device", "cpu"),
    "torch": ("--device", "cpu", "--backend", "torch"),
}


def run(requests: int) -> None:
    """Milliseconds: of a request, p50, and from the start of the process to /readyz."""
    machine.console.print(f"[bold]idle[/] · {machine.describe()}")
    loop = statistics.median([_plain_loop() for _ in range(max(3, requests // 4))])
    table = Table("p50 of one request, ms", *BACKENDS, title=f"{requests} requests each, one after the other")
    found: dict[str, dict[str, float]] = {}
    for name, flags in BACKENDS.items():
        started = time.perf_counter()
        with spirale(*flags) as (url, _), contextlib.closing(HTTPConnection(url.removeprefix("http://"))) as http:
            found[name] = {"start to /readyz": 1000 * (time.perf_counter() - started)}
            for what, fields in ASKED.items():
                found[name][what] = statistics.median([_ask(http, fields, seed) for seed in range(requests)])
            with _busy_neighbour():
                found[name][BESIDE] = statistics.median([_ask(http, ASKED[TEN], seed) for seed in range(requests)])
    for what in found["onnx"]:
        table.add_row(what, *(f"{found[name][what]:.0f}" for name in BACKENDS))
    table.add_row("10 unguided steps by a plain loop of PyTorch, float32, in process", f"{loop:.0f}", f"{loop:.0f}")
    table.add_row(
        "[bold]Spirale over that loop[/]",
        *(f"[bold]{found[name][TEN] / loop:.2f}[/]" for name in BACKENDS),
    )
    table.add_row(
        "[bold]beside a busy core, over idle[/]",
        *(f"[bold]{one[BESIDE] / one[TEN]:.2f}[/]" for one in found.values()),
    )
    machine.console.print(table)
    curves = {name: machine.bare_curve(MODEL, backend=name) for name in BACKENDS}
    table = Table("batch size", *BACKENDS, title=f"{MODEL}, the bare network: evaluations per second")
    for size in sorted(set().union(*curves.values())):
        table.add_row(str(size), *(f"{curve[size]:.0f}" if size in curve else "" for curve in curves.values()))
    machine.console.print(table)


def _ask(http: HTTPConnection, fields: Mapping[str, Any], seed: int) -> float:
    """By a client that sends head and body at once: a body that follows may wait 40 ms for the head's receipt."""

    def ask() -> None:
        http.request("POST", "/sample", json.dumps({**fields, "seed": seed}), {"Content-Type": "application/json"})
        answer = http.getresponse()
        body = answer.read()
        assert answer.status == 200, body

    return _milliseconds(ask)


def _plain_loop() -> float:
    """As a hand-written route would do it."""
    checkpoint = machine.checkpoint(MODEL)
    plan = make_plan(checkpoint.schedule, "ddim", 10)
    conditions = Conditions(torch.tensor([7]), torch.ones(1))
    denoiser, seeds = machine.plain_denoiser(MODEL), torch.from_numpy(sample_seeds(0, 1))
    return _milliseconds(lambda: sample(denoiser, plan, conditions, seeds, checkpoint.data.shape))


@contextlib.contextmanager
def _busy_neighbour() -> Iterator[None]:
    """One core's worth of another program's work."""
    neighbour = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        neighbour.kill()
        neighbour.wait()


def _milliseconds(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return 1000 * (time.perf_counter() - started)
