"""A data set by one job: its rate over the bare network's, how many digits are right, the store's part, and memory."""

import io
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import httpx
import numpy as np
import torch
from rich.table import Table

from benchmarks import machine
from benchmarks.server import spirale
from model.checkpoints.judge import Judge, load_judge
from service.jobs.results import FolderResults
from service.jobs.store_opening import sqlite_store
from service.jobs.store_records import NewJob, StoredFile

MODEL, STEPS = "mnist-fast", 2
JUDGED = 10_000  # digits at most
FEW_POINTS = 10_000
POLL = 0.2  # seconds


@dataclass(frozen=True)
class Done:
    """seconds that the job took by the service's own count, and the most memory of the service meanwhile in MB."""

    id: str
    seconds: float
    megabytes: float


def run(rows: int, points: int) -> None:
    """All ratios are of one run: the bare network is timed just before and just after the job."""
    machine.console.print(f"[bold]jobs[/] · {machine.describe()}")
    with spirale() as (url, process):
        bare = [machine.bare_curve(MODEL)]
        digits = _job(
            url, process, {"dataset": "mnist", "model": MODEL, "label": "balanced", "n": rows, "steps": STEPS}
        )
        bare.append(machine.bare_curve(MODEL))
        files = _files(url, digits.id)
    few, many = map(_points, (FEW_POINTS, points))
    best = max(statistics.mean(curve[size] for curve in bare) for size in bare[0])
    rate = rows * STEPS / digits.seconds
    store = _store_seconds(files)
    table = Table("", "found", "asked", title=f"{rows:,} digits of {MODEL} in {STEPS} evaluations each")
    table.add_row("bare network at its best batch, evaluations/s", f"{best:.0f}", "")
    table.add_row("the job, evaluations/s", f"{rate:.0f}", "")
    table.add_row("[bold]ratio[/]", f"[bold]{rate / best:.3f}[/]", "≥ 0.9")
    table.add_row("[bold]read as asked by the judge[/]", f"[bold]{_right(files):.4f}[/]", "≥ 0.99")
    table.add_row("[bold]store and files, of the job's time[/]", f"[bold]{store / digits.seconds:.4f}[/]", "< 0.01")
    table.add_row(f"memory at {FEW_POINTS:,} points, MB", f"{few.megabytes:.0f}", "")
    table.add_row(f"memory at {points:,} points, MB", f"{many.megabytes:.0f}", "")
    table.add_row("[bold]ratio[/]", f"[bold]{many.megabytes / few.megabytes:.3f}[/]", "flat")
    machine.console.print(table)


def _job(url: str, process: subprocess.Popen[bytes], body: dict[str, object]) -> Done:
    """Raises SystemExit where it fails."""
    most = 0.0
    with httpx.Client(base_url=url, timeout=60) as http:
        job = http.post("/jobs", json=body | {"format": "npy"}).raise_for_status().json()
        while job["state"] in ("queued", "running"):
            time.sleep(POLL)
            most = max(most, _resident(process.pid))
            job = http.get(f"/jobs/{job['id']}").raise_for_status().json()
    if job["state"] != "done":
        raise SystemExit(f"the job is {job['state']}: {job['error']}")
    return Done(job["id"], job["rows"] / job["rows_per_second"], most)


def _points(n: int) -> Done:
    """A job of so many points, of a service that has had no other: memory that one took is seldom given back."""
    with spirale() as (url, process):
        return _job(url, process, {"dataset": "spiral", "label": "balanced", "n": n, "steps": 10, "seed": 1})


def _resident(process: int) -> float:
    """MB."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _files(url: str, job: str) -> dict[str, bytes]:
    with httpx.Client(base_url=url, timeout=60) as http:
        listed = http.get(f"/jobs/{job}/files").raise_for_status().json()["files"]
        return {one["name"]: http.get(f"/jobs/{job}/files/{one['name']}").raise_for_status().content for one in listed}


def _right(files: dict[str, bytes]) -> float:
    """The share of the first digits that the judge reads as their labels."""
    parts = [name for name in files if not name.endswith(".labels.npy")]
    digits = np.concatenate([np.load(io.BytesIO(files[name])) for name in parts])[:JUDGED]
    labels = np.concatenate([np.load(io.BytesIO(files[labels_of(name)])) for name in parts])[:JUDGED]
    return float(reads_as_asked(digits, labels).mean())


def labels_of(name: str) -> str:
    """The file of the labels beside a file of digits."""
    return name.replace(".npy", ".labels.npy")


def reads_as_asked(digits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Which digits, uint8 [n, 28, 28], the judge reads as their labels, int64 [n]: bool [n]."""
    _, read = _judge().look(torch.from_numpy(digits)[:, None])
    right: np.ndarray = read.numpy() == labels
    return right


@cache
def _judge() -> Judge:
    return load_judge(machine.CHECKPOINTS / "mnist-judge")


def _store_seconds(files: Mapping[str, bytes]) -> float:
    """What writing and publishing such chunks takes, one after the other, in a store of their own. A chunk is a file of
    digits and the file of its labels."""
    chunks = [name for name in files if not name.endswith(".labels.npy")]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store, results = sqlite_store(folder / "jobs.sqlite"), FolderResults(folder / "jobs")
        job, _ = store.add(NewJob("", None, "", "{}", len(chunks), 1, None, None))
        store.claim("benchmark")
        started = time.perf_counter()
        for first, digits in enumerate(chunks):
            published = []
            for file in (digits, labels_of(digits)):
                results.put(job.id, file, files[file])
                published.append(StoredFile(file, first, file, len(files[file]), "0" * 64))
            store.publish(job.id, 1, first, 1, published)
        seconds = time.perf_counter() - started
        store.close()
        return seconds
