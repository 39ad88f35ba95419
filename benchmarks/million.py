"""A million digits an hour? Labelled digits by one job, fetched and read by the judge as they come."""

import io
import statistics
import tempfile
import time
from dataclasses import dataclass, field

import httpx
import numpy as np
from rich.table import Table

from benchmarks import machine
from benchmarks.background_job import POLL, labels_of, reads_as_asked
from benchmarks.server import spirale
from service.engine.options import WantedBackend

MODEL = "mnist-fast"
ROWS = 10_000_000  # more than any machine makes in the time
HOUR = 3600.0
MILLION = 1_000_000


@dataclass
class Arrived:
    """What has come: rows, how many of them the judge was shown and read as asked, and the job's seconds until then."""

    rows: int = 0
    shown: int = 0
    right: int = 0
    judging: float = 0.0  # seconds, during which the judge took processors from the service
    seconds: float = 0.0
    _files: set[str] = field(default_factory=set)

    def fetch(self, http: httpx.Client, job: str, share: float) -> bool:
        """Download the files that are new, and show the judge this share of each. Did any come?"""
        listed = http.get(f"/jobs/{job}/files").raise_for_status().json()["files"]
        names = {one["name"] for one in listed}
        fresh = sorted(
            name for name in names - self._files if not name.endswith(".labels.npy") and labels_of(name) in names
        )
        for name in fresh:
            digits, labels = (
                np.load(io.BytesIO(http.get(f"/jobs/{job}/files/{one}").raise_for_status().content))
                for one in (name, labels_of(name))
            )
            some = max(1, round(share * len(digits)))
            began = time.perf_counter()
            self.right += int(reads_as_asked(digits[:some], labels[:some]).sum())
            self.judging += time.perf_counter() - began
            self.rows += len(digits)
            self.shown += some
        self._files |= {*fresh, *map(labels_of, fresh)}
        return bool(fresh)


def run(minutes: float, steps: int, judged: float, backend: WantedBackend) -> None:
    """The bare network is timed just before and just after."""
    machine.console.print(f"[bold]million[/] · {machine.describe()}")
    bare = [machine.bare_curve(MODEL, backend=backend)]
    with tempfile.TemporaryDirectory() as folder, spirale("--jobs-dir", folder, "--backend", backend) as (url, _):
        arrived = _digits(url, minutes, steps, judged)
    bare.append(machine.bare_curve(MODEL, backend=backend))
    best = max(statistics.mean(curve[size] for curve in bare) for size in bare[0])
    rate = arrived.rows / arrived.seconds
    table = Table("", "found", "asked", title=f"{arrived.rows:,} digits in {arrived.seconds / 60:.1f} minutes")
    table.add_row("model, backend", f"{MODEL} in {steps}, {', '.join(machine.served(MODEL, backend)[1:])}", "")
    table.add_row("[bold]digits an hour[/]", f"[bold]{rate * HOUR:,.0f}[/]", f"≥ {MILLION:,}")
    table.add_row("[bold]read as asked by the judge[/]", f"[bold]{arrived.right / arrived.shown:.4f}[/]", "≥ 0.99")
    table.add_row("digits that it was shown", f"{arrived.shown:,}", "")
    table.add_row("evaluations/s", f"{rate * steps:.0f}", "")
    table.add_row("bare network at its best batch, evaluations/s", f"{best:.0f}", "")
    table.add_row("[bold]share of the bare network[/]", f"[bold]{rate * steps / best:.3f}[/]", "")
    table.add_row("share of the time in which the judge read", f"{arrived.judging / arrived.seconds:.3f}", "")
    machine.console.print(table)


def _digits(url: str, minutes: float, steps: int, judged: float) -> Arrived:
    """What came in the time from when the job began to run. Raises SystemExit where it fails."""
    arrived, started = Arrived(), None
    body = {"dataset": "mnist", "model": MODEL, "label": "balanced", "n": ROWS, "steps": steps, "format": "npy"}
    with httpx.Client(base_url=url, timeout=60) as http:
        job = http.post("/jobs", json=body).raise_for_status().json()
        while started is None or time.perf_counter() < started + 60 * minutes:
            job = http.get(f"/jobs/{job['id']}").raise_for_status().json()
            if job["state"] not in ("queued", "running"):
                raise SystemExit(f"the job is {job['state']}: {job['error']}")
            if started is None and job["state"] == "running":
                started = time.perf_counter()
            if started is not None and arrived.fetch(http, job["id"], judged):
                arrived.seconds = time.perf_counter() - started
            time.sleep(POLL)
        http.delete(f"/jobs/{job['id']}").raise_for_status()
    if not arrived.rows:
        raise SystemExit("no digit came in the time: give more --minutes")
    return arrived
