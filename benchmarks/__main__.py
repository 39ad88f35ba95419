"""`python -m benchmarks`: what Spirale does, measured on this machine. Run them on a machine that does nothing else."""

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import (
    answer_costs,
    background_job,
    devices,
    edits,
    engine,
    guidance,
    idle,
    million,
    optimisers,
    page,
    reproducibility,
    same_bytes,
    soak,
)
from benchmarks.peers import compare
from model.checkpoints.base import TorchPrecision
from service.engine.options import WantedBackend

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)

Minutes = Annotated[float, typer.Option(min=0.1, help="Of each load point.")]


@app.command("answer-costs")
def run_answer_costs(requests: Annotated[int, typer.Option(min=10)] = 200) -> None:
    """Bytes of answers, the processor's time around the network, and writes to the store of jobs."""
    answer_costs.run(requests)


@app.command("engine")
def run_engine(
    seconds: Annotated[float, typer.Option(min=2)] = 6, rounds: Annotated[int, typer.Option(min=1)] = 12
) -> None:
    """Evaluations per second through HTTP under saturating mixed load, over the bare network's best."""
    engine.run(seconds, rounds)


@app.command("devices")
def run_devices(
    seconds: Annotated[float, typer.Option(min=1)] = 6, rounds: Annotated[int, typer.Option(min=1)] = 8
) -> None:
    """Two workers of one core each, over one: requests a second on independent requests."""
    devices.run(seconds, rounds)


@app.command("edits")
def run_edits(
    part: Annotated[list[edits.Part] | None, typer.Option(help="May come several times. Default: all.")] = None,
    digits: Annotated[int, typer.Option(min=20, max=10_000)] = 2_000,
    precision: Annotated[TorchPrecision, typer.Option()] = "float32",
    folder: Annotated[Path, typer.Option(exists=True, file_okay=False, help="Of the sheets.")] = Path("docs"),
) -> None:
    """Inpainting, strengths, inversion and walks over test digits, as the judge reads them, with sheets."""
    edits.run(part or list(edits.Part), digits, precision, folder)


@app.command("idle")
def run_idle(requests: Annotated[int, typer.Option(min=3)] = 30) -> None:
    """One request on an idle server by each backend, over a plain loop; and beside a busy neighbour."""
    idle.run(requests)


@app.command("jobs")
def run_jobs(
    rows: Annotated[int, typer.Option(min=1000, help="Digits.")] = 100_000,
    points: Annotated[int, typer.Option(min=20_000, help="Points, for the memory.")] = 1_000_000,
) -> None:
    """A data set by one job: its rate over the bare network's, how many are right, the store's part, memory."""
    background_job.run(rows, points)


@app.command("latency")
def run_latency(requests: Annotated[int, typer.Option(min=20)] = 200) -> None:
    """Short requests among saturating long ones, and long among short, over their times on an idle server."""
    engine.run_latency(requests)


@app.command("million")
def run_million(
    minutes: Annotated[float, typer.Option(min=0.5)] = 10,
    steps: Annotated[int, typer.Option(help="Evaluations a digit: 1, 2 or 4.")] = 1,
    judged: Annotated[float, typer.Option(min=0.001, max=1, help="Share of the digits that the judge is shown.")] = 0.1,
    backend: Annotated[WantedBackend, typer.Option(help="Of the service and of the bare network.")] = "auto",
) -> None:
    """Labelled digits by one job, read by the judge as they come: digits an hour, accuracy, share of the network."""
    million.run(minutes, steps, judged, backend)


@app.command("optimisers")
def run_optimisers(steps: Annotated[int, typer.Option(min=10)] = 700) -> None:
    """The loss on held-out digits after equal steps of AdamW and of Muon, and what a step costs."""
    optimisers.run(steps)


@app.command("page")
def run_page(moves: Annotated[int, typer.Option(min=20)] = 200) -> None:
    """From the movement of a slider to the picture that follows it, in Chromium on this machine."""
    page.run(moves)


@app.command("reproducibility")
def run_reproducibility(requests: Annotated[int, typer.Option(min=10)] = 200) -> None:
    """Seeded requests of the shipped checkpoints, all at once and one by one: the same bytes?"""
    reproducibility.run(requests)


@app.command("same-bytes")
def run_same_bytes(
    other: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Another checkout, with checkpoints.")],
) -> None:
    """Every kind of request to this checkout and to another: the same samples? Exit status 1 if one differs."""
    raise typer.Exit(same_bytes.run(other))


@app.command("guidance")
def run_guidance(
    seconds: Annotated[float, typer.Option(min=2)] = 6, rounds: Annotated[int, typer.Option(min=1)] = 8
) -> None:
    """Throughput of classifier-guided and classifier-free rows, over plain ones."""
    guidance.run(seconds, rounds)


@app.command("peers")
def run_peers(
    minutes: Minutes = 5,
    grid_minutes: Annotated[float, typer.Option(min=0.1, help="Of each setting tried.")] = 0.75,
    kept: Annotated[Path | None, typer.Option(help="A file to keep load points in; go on from those it has.")] = None,
) -> None:
    """The same network and weights behind FastAPI, LitServe and BentoML (needs the extra `peers`)."""
    compare.run(minutes, grid_minutes, kept)


@app.command("ray")
def run_ray(
    requests: Annotated[int, typer.Option(min=20)] = 200,
    seconds: Annotated[float, typer.Option(min=2, help="Of each side in each round.")] = 10,
    rounds: Annotated[int, typer.Option(min=1)] = 6,
) -> None:
    """What Ray Serve adds to a short request, and two replicas of one core over one (needs the extra `ray`)."""
    from benchmarks import ray_serve  # Ray is installed where a cluster of it is used

    ray_serve.run(requests, seconds, rounds)


@app.command("soak")
def run_soak(minutes: Minutes = 20) -> None:
    """Random valid, invalid and abandoned requests: no 5xx but by design, flat memory, nothing left behind."""
    raise typer.Exit(soak.run(minutes))


if __name__ == "__main__":
    # Ended from outside, a benchmark ends its servers as well: one that is left measures the next benchmark's machine.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    app()
