"""What a second core adds: two workers of one core each, over one such worker, on requests that do not wait for each
other."""

import asyncio
import os
import statistics
import time
from pathlib import Path

from rich.table import Table

from benchmarks import machine
from service.checkpoints.folder import catalog_of, served_folder
from service.engine.engine import Engine
from service.engine.hardware import keep_freed_memory, one_thread_here
from service.engine.job import Job
from service.engine.options import EngineOptions
from service.engine.served_model import Served
from service.metrics import Metrics
from service.requests.resolve import resolve
from service.requests.schemas import SampleRequest
from service.settings import shipped_checkpoints

MODEL = "mnist-cfg"
STEPS = 10
IN_WORK = 64  # requests at any time


def run(seconds: float, rounds: int) -> None:
    """By turns, in one process without HTTP: on a machine of two cores a client would take a part of them."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("two workers want two cores")
    machine.console.print(f"[bold]devices[/] · {machine.describe()} · load {os.getloadavg()[0]:.1f} before the start")
    one_thread_here()
    keep_freed_memory()
    served, job = _asked()
    engines = {}
    for devices in (f"cpu:{cores[0]}", f"cpu:{cores[1]}", f"cpu:{cores[0]},cpu:{cores[1]}"):
        options = EngineOptions(device=devices, max_queued_seconds=1e6, deadline_seconds=1e6)
        engines[devices] = Engine({served.key: served}, options, Metrics())
        engines[devices].start()
    while not all(worker.loaded for engine in engines.values() for worker in engine.snapshot().workers):
        time.sleep(0.1)
    table = Table("round", *engines, "ratio", title=f"{MODEL}, {STEPS} steps, one image a request; requests a second")
    ratios = []
    for number in range(rounds):
        rates = [asyncio.run(_rate(engine, job, seconds)) for engine in engines.values()]
        ratios.append(rates[2] / statistics.mean(rates[:2]))
        table.add_row(str(number + 1), *(f"{rate:.1f}" for rate in rates), f"{ratios[-1]:.2f}")
    table.add_row("median", "", "", "", f"[bold]{statistics.median(ratios):.2f}[/]")
    machine.console.print(table)
    machine.console.print(f"load {os.getloadavg()[0]:.1f} at the end, of which these engines are at most 2")
    for engine in engines.values():
        engine.stop(0)


def _asked() -> tuple[Served, Job]:
    folder: Path = shipped_checkpoints()
    catalog = catalog_of(served_folder(folder))
    request = SampleRequest(dataset="mnist", model=MODEL, label=3, guidance="none", sampler="ddim", steps=STEPS, seed=1)
    return catalog.served[MODEL], resolve(catalog, request).job


async def _rate(engine: Engine, job: Job, seconds: float) -> float:
    """Requests a second while so many are always in work."""
    done, until = 0, time.perf_counter() + seconds

    async def go_on() -> None:
        nonlocal done
        while time.perf_counter() < until:
            await engine.sample(job)
            done += 1

    started = time.perf_counter()
    await asyncio.gather(*(go_on() for _ in range(IN_WORK)))
    return done / (time.perf_counter() - started)
