"""What an answer costs besides the network: its bytes, the time around it, and writes to the store of jobs."""

import re
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import torch
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import machine
from benchmarks.server import spirale
from model.conditions import Conditions
from model.noise import sample_seeds
from model.plan import make_plan
from model.sampling_loop import sample
from service.jobs.store_opening import sqlite_store
from service.jobs.store_records import NewJob, StoredFile

DIGIT: dict[str, Any] = {"dataset": "mnist", "label": 7, "seed": 1}
ANSWERS: Mapping[str, tuple[dict[str, Any], str]] = {
    "a digit, PNG": (DIGIT, "image/png"),
    "a digit, JSON": (DIGIT, "application/json"),
    "a digit, npy": (DIGIT, "application/x-npy"),
    "a digit, a stream with ten previews": (DIGIT, "text/event-stream"),
    "64 digits, zip": (DIGIT | {"n": 64}, "application/zip"),
    "500 points, JSON": ({"dataset": "spiral", "n": 500, "seed": 1}, "application/json"),
    "500 points, npy": ({"dataset": "spiral", "n": 500, "seed": 1}, "application/x-npy"),
}
POINT: dict[str, Any] = {"dataset": "spiral", "sampler": "ddim", "steps": 1}
MODEL = "mnist-cfg"


def run(requests: int) -> None:
    """Bytes are the same on every machine; the processor's time is of the process, whatever else runs beside it."""
    machine.console.print(f"[bold]answer-costs[/] · {machine.describe()}")
    table = Table("of", "", title="What an answer costs")
    with spirale("--device", "cpu") as (url, _), httpx.Client(base_url=url, timeout=600) as http:
        for what, (body, accept) in ANSWERS.items():
            answer = http.post("/sample", json=body, headers={"Accept": accept}).raise_for_status()
            head = sum(len(name) + len(value) + 4 for name, value in answer.headers.raw)
            table.add_row(what, f"{len(answer.content):,} bytes, and {head:,} of headers")
        for what, body, accept in (
            ("a request for a point in one step", POINT, "application/json"),
            ("the same as a stream", POINT, "text/event-stream"),
        ):
            before = _cpu_seconds(http)
            for seed in range(requests):
                http.post("/sample", json=body | {"seed": seed}, headers={"Accept": accept}).raise_for_status()
            table.add_row(what, f"{1000 * (_cpu_seconds(http) - before) / requests:.1f} ms of one core, all threads")
    table.add_row(f"an evaluation of {MODEL}", f"{_flops() / 1e6:,.1f} million floating-point operations")
    rate, size = _store_writes(requests)
    table.add_row("a chunk of a job, published to SQLite", f"{rate:,.0f} a second, {size:,.0f} bytes each")
    machine.console.print(table)


def _cpu_seconds(http: httpx.Client) -> float:
    found = re.search(r"^process_cpu_seconds_total (\S+)$", http.get("/metrics").text, re.MULTILINE)
    assert found is not None
    return float(found[1])


def _flops() -> int:
    """Of one row's evaluation, unguided."""
    checkpoint = machine.checkpoint(MODEL)
    plan = make_plan(checkpoint.schedule, "ddim", 1)
    conditions, seeds = Conditions(torch.tensor([7]), torch.ones(1)), torch.from_numpy(sample_seeds(0, 1))
    with FlopCounterMode(display=False) as counted:
        sample(machine.plain_denoiser(MODEL), plan, conditions, seeds, checkpoint.data.shape)
    return int(counted.get_total_flops())


def _store_writes(chunks: int) -> tuple[float, float]:
    """(chunks a second, bytes of the database for each), every one synced to the disk."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        path = Path(folder) / "jobs.sqlite"
        store = sqlite_store(path)
        job, _ = store.add(NewJob("", None, "", "{}", chunks, 1, None, None))
        claimed = store.claim("benchmark")
        assert claimed is not None
        store.close()  # what was written so far goes from SQLite's log into the file
        empty = path.stat().st_size
        store = sqlite_store(path)
        started = time.perf_counter()
        for first in range(chunks):
            file = StoredFile(f"part-{first:08d}.parquet", first, f"{first:08d}-1.parquet", 0, "0" * 64)
            store.publish(job.id, claimed.fence, first, 1, [file])
        seconds = time.perf_counter() - started
        store.close()
        return chunks / seconds, (path.stat().st_size - empty) / chunks
