"""What Ray Serve adds to a request, and what a second replica of one core adds to its throughput."""

import asyncio
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import ray
from ray import serve
from ray.cluster_utils import Cluster
from rich.table import Table

from benchmarks import load, machine
from benchmarks.server import free_port, spirale
from ops.ray.serve_app import deployment

STUDENT, MODEL = "mnist-fast", "mnist-cfg"
SHORT: load.Body = {"dataset": "mnist", "model": STUDENT, "label": 3, "steps": 1, "seed": 1}
LONG: load.Body = {"dataset": "mnist", "model": MODEL, "label": 3, "guidance": "none", "sampler": "ddim", "steps": 25}
IN_WORK = 32  # long requests at any time
LIMITS = {"max_queued_seconds": 3600, "deadline_seconds": 3600}
WARM = 10  # requests that do not count


def run(requests: int, seconds: float, rounds: int) -> None:
    """By turns, so that what else the machine does hits both sides alike."""
    machine.console.print(
        f"[bold]ray[/] · {machine.describe()}, Ray {ray.__version__} · load {os.getloadavg()[0]:.1f} before the start"
    )
    with tempfile.TemporaryDirectory() as folder:
        for name in (STUDENT, MODEL):
            shutil.copytree(machine.CHECKPOINTS / name, Path(folder, name))
        settings = {"checkpoints": folder, "device": "cpu", "threads": 1, **LIMITS}
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
        with spirale(*flags) as (alone, _), _replicas(settings) as cluster:
            _tell_overhead(alone, f"{cluster}/one", requests)
            _tell_throughput(f"{cluster}/one", f"{cluster}/two", seconds, rounds)
    machine.console.print(f"load {os.getloadavg()[0]:.1f} at the end")


@contextmanager
def _replicas(settings: dict[str, object]) -> Iterator[str]:
    """The address of a proxy behind which /one is one replica, and /two are two."""
    os.environ.setdefault("RAY_worker_niceness", "0")  # else replicas give way to all else, unlike a single process
    port = free_port()
    cluster = Cluster()
    cluster.add_node(num_cpus=3, node_ip_address="127.0.0.1")
    try:
        ray.init(address=cluster.address, log_to_driver=False)
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        for name, replicas in (("one", 1), ("two", 2)):
            so_many = {"min_replicas": replicas, "max_replicas": replicas}
            app = deployment(settings).options(autoscaling_config=so_many).bind(settings)
            serve.run(app, name=name, route_prefix=f"/{name}")
        yield f"http://127.0.0.1:{port}"
    finally:
        ray.shutdown()
        cluster.shutdown()


def _tell_overhead(alone: str, through_ray: str, requests: int) -> None:
    """Also without the time in the network, which neighbours stretch most."""
    whole: dict[str, list[float]] = {alone: [], through_ray: []}
    around: dict[str, list[float]] = {alone: [], through_ray: []}
    with httpx.Client(timeout=load.TIMEOUT) as http:
        for _ in range(WARM + requests):
            for url in whole:
                started = time.perf_counter()
                answer = http.post(f"{url}/sample", json=SHORT).raise_for_status()
                whole[url].append(time.perf_counter() - started)
                around[url].append(whole[url][-1] - _sampling_seconds(answer))
    table = Table(
        "", "p50", "p95", "p50 but for sampling", title=f"{STUDENT}, one evaluation, one at a time; milliseconds"
    )
    for name, url in (("a single process", alone), ("one replica, through the proxy", through_ray)):
        p50, p95, _ = load.percentiles(whole[url][WARM:])
        table.add_row(name, *(f"{1000 * p:.1f}" for p in (p50, p95, statistics.median(around[url][WARM:]))))
    added = (
        1000 * (statistics.median(of[through_ray][WARM:]) - statistics.median(of[alone][WARM:]))
        for of in (whole, around)
    )
    table.add_row("[bold]added[/]", f"[bold]{next(added):.1f}[/]", "", f"[bold]{next(added):.1f}[/]")
    machine.console.print(table)


def _sampling_seconds(answer: httpx.Response) -> float:
    """As the service tells it."""
    entries = (entry.strip().partition(";dur=") for entry in answer.headers["server-timing"].split(","))
    return next(float(milliseconds) for name, _, milliseconds in entries if name == "sample") / 1000


def _tell_throughput(one: str, two: str, seconds: float, rounds: int) -> None:
    table = Table("round", "one replica", "two", "ratio", title=f"{MODEL}, 25 steps, one image; requests a second")
    ratios = []
    for number in range(rounds):
        rates = [asyncio.run(_rate(url, seconds)) for url in (one, two)]
        ratios.append(rates[1] / rates[0])
        table.add_row(str(number + 1), *(f"{rate:.1f}" for rate in rates), f"{ratios[-1]:.2f}")
    table.add_row("median", "", "", f"[bold]{statistics.median(ratios):.2f}[/]")
    machine.console.print(table)


async def _rate(url: str, seconds: float) -> float:
    async def one(http: httpx.AsyncClient, number: int) -> None:
        (await http.post("sample", json=LONG)).raise_for_status()

    started = time.perf_counter()
    done = await load.closed(f"{url}/", IN_WORK, seconds, one)
    return len(done) / (time.perf_counter() - started)
