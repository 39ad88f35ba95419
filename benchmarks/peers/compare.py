"""Open-loop mixed traffic on Spirale and its peers: what each sustains, and how long each class waits at equal load."""

import asyncio
import importlib.util
import itertools
import os
import random
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from benchmarks import load, machine
from benchmarks.peers.notebook import Notebook
from benchmarks.peers.shared_sampler import SAMPLER
from benchmarks.server import free_port, serving, spirale
from service.engine.options import WantedBackend

MIX = {10: 0.70, 50: 0.25, 1000: 0.05}  # steps → share of the requests, one image each, unguided
BOUND = 2.0  # seconds: p95 of the 10-step class
DRAIN = 30.0  # seconds after the last arrival within which a server that keeps up has answered
LADDER = tuple(round(2 ** (step / 2), 3) for step in range(-8, 13))  # requests a second: 1/16 … 64
GRID_RATE = 0.707  # of the ladder: where settings differ, and none is hopeless
MODEL = "mnist-cfg"
BACKEND: WantedBackend = "torch"  # of Spirale as of its peers: servers are compared, not what computes
PROBE_REQUESTS, PROBE_MINUTES = 40, 1 / 3  # of a quick look, the longer of both

Setting = Mapping[str, str]
Served = tuple[str, subprocess.Popen[bytes]]
"""(url, process)"""


@dataclass(frozen=True)
class System:
    """A server under test. `grid` is empty where there is nothing to choose."""

    name: str
    start: Callable[[Setting], AbstractContextManager[Served]]
    body: Callable[[int, int, int], load.Body]  # (label, steps, seed)
    grid: tuple[Setting, ...] = ({},)


@dataclass(frozen=True)
class Point:
    """What became of one load."""

    rate: float
    answers: list[load.Answered]
    seconds: float

    def of(self, steps: int) -> list[float]:
        return [one.seconds for one in self.answers if one.kind == str(steps) and one.status == 200]

    def failed(self, steps: int) -> int:
        return sum(one.status != 200 for one in self.answers if one.kind == str(steps))

    @property
    def all_failed(self) -> int:
        return sum(self.failed(steps) for steps in MIX)

    @property
    def p95(self) -> float:
        return load.percentiles(self.of(10))[1]

    @property
    def drained(self) -> float:
        """Seconds from the end of the load to the last answer."""
        return max(0.0, max(one.came + one.seconds for one in self.answers) - self.seconds)

    @property
    def kept_up(self) -> bool:
        return self.p95 <= BOUND and self.drained <= DRAIN and self.all_failed == 0


def run(minutes: float, grid_minutes: float, kept: Path | None) -> None:
    """`kept`: a file of the load points measured so far; what it has is not measured again."""
    missing = [name for name in ("litserve", "bentoml") if importlib.util.find_spec(name) is None]
    if missing:
        raise SystemExit(f"{', '.join(missing)} not installed: pip install -e '.[peers]', in an environment of its own")
    out = machine.console.print
    out(f"[bold]peers[/] · {machine.describe()}")
    mix = ", ".join(f"{share:.0%} of {steps} steps" for steps, share in MIX.items())
    out(f"{MODEL}, {', '.join(machine.served(MODEL, BACKEND))}")
    out(f"{mix}; {SAMPLER}, one image, unguided; Poisson arrivals, {minutes:g} minutes a load point")
    notebook = Notebook(kept)
    chosen = {system.name: (system, _best_setting(system, grid_minutes, notebook)) for system in _systems()}
    full: dict[str, dict[float, Point]] = {}
    sustained = {}
    for name, (system, setting) in chosen.items():
        sustained[name], full[name] = _climb(system, setting, minutes, notebook)
    best_peer = max((name for name in chosen if name != "spirale"), key=lambda name: sustained[name])
    equal = sustained[best_peer] or LADDER[0]
    for name, (system, setting) in chosen.items():
        if equal not in full[name] or not full[name][equal].kept_up:  # it may have been broken off
            full[name][equal] = _point(system, setting, equal, minutes, notebook)
    table = Table("", "requests/s sustained", "over the best peer", title=f"p95 of the 10-step class ≤ {BOUND:g} s")
    for name, rate in sustained.items():
        table.add_row(name, f"{rate:g}", f"[bold]{rate / equal:.1f}×[/]")
    out(table)
    table = Table("", "steps", "p50", "p95", "p99", "not answered", title=f"seconds, at {equal:g} requests/s")
    for name in chosen:
        point = full[name][equal]
        for steps in MIX:
            seconds = (f"{p:.2f}" for p in load.percentiles(point.of(steps)))
            table.add_row(name, str(steps), *seconds, str(point.failed(steps)))
    out(table)


def _climb(system: System, setting: Setting, minutes: float, notebook: Notebook) -> tuple[float, dict[float, Point]]:
    """The highest rung that holds for a whole load point (0: none), with the whole points.

    A quick look at every second rung from 1/s, up or down, finds where to begin; whole points then go up to the first
    that fails, or down to the first that holds.
    """

    def holds(rung: int) -> bool:
        length = max(PROBE_REQUESTS / LADDER[rung] / 60, PROBE_MINUTES)
        return _point(system, setting, LADDER[rung], min(length, minutes), notebook, break_off=True).kept_up

    rung = LADDER.index(1.0)
    if holds(rung):
        while rung + 2 < len(LADDER) and holds(rung + 2):
            rung += 2
    else:
        while rung >= 2 and not holds(rung := rung - 2):
            pass
    rung = min(rung + 1, len(LADDER) - 1)
    points: dict[float, Point] = {}
    while 0 <= rung < len(LADDER) and LADDER[rung] not in points:
        point = points[LADDER[rung]] = _point(system, setting, LADDER[rung], minutes, notebook, break_off=True)
        rung += 1 if point.kept_up else -1
    return max((rate for rate, point in points.items() if point.kept_up), default=0.0), points


def _point(
    system: System, setting: Setting, rate: float, minutes: float, notebook: Notebook, *, break_off: bool = False
) -> Point:
    """A server of its own for each load: nothing is left over from the one before.

    `break_off`: stop once so many of the 10-step class have come late that the bound cannot be kept any more.
    """
    allowed = 0.05 * MIX[10] * rate * minutes * 60

    def hopeless(answered: list[load.Answered]) -> bool:
        return break_off and sum(one.kind == "10" and one.seconds > BOUND for one in answered) > max(2.0, 1.5 * allowed)

    def draw(randomness: random.Random) -> tuple[str, load.Body]:
        (steps,) = randomness.choices(list(MIX), list(MIX.values()))
        return str(steps), system.body(randomness.randrange(10), steps, randomness.randrange(2**31))

    def measure() -> list[load.Answered]:
        with system.start(setting) as (url, _):
            return asyncio.run(load.poisson(url, rate, minutes * 60, DRAIN + 5, draw, "/sample", hopeless))

    answers = notebook.look_up(
        measure,
        system=system.name,
        **setting,
        rate=rate,
        minutes=minutes,
        break_off=break_off,
        mix={str(steps): share for steps, share in MIX.items()},
        bound=BOUND,
        weights=machine.checkpoint(MODEL).fingerprint,
        computed_by=machine.served(MODEL, BACKEND),
    )
    point = Point(rate, answers, minutes * 60)
    machine.console.print(
        f"  {system.name:9} {rate:6.3f}/s {minutes:4.2g} min  "
        + "  ".join(f"{steps}: {' '.join(f'{p:.2f}' for p in load.percentiles(point.of(steps)))}" for steps in MIX)
        + f"  drained in {point.drained:.0f} s, {point.all_failed} failed{'' if point.kept_up else '  ✗'}"
    )
    return point


def _best_setting(system: System, minutes: float, notebook: Notebook) -> Setting:
    """The setting with the best p95 of the 10-step class under the same load; all are printed."""
    if len(system.grid) == 1:
        return system.grid[0]
    table = Table("setting", "p95 of 10 steps, s", "p95 of 50", title=f"{system.name}, {GRID_RATE:g} requests/s")
    tried = []
    for setting in system.grid:
        point = _point(system, setting, GRID_RATE, minutes, notebook)
        tried.append((point.all_failed, point.p95, setting))
        told = " ".join(f"{key.removeprefix('PEER_').lower()}={value}" for key, value in setting.items())
        table.add_row(told, f"{point.p95:.2f}", f"{load.percentiles(point.of(50))[1]:.2f}")
    machine.console.print(table)
    return min(tried, key=lambda one: one[:2])[2]


def _systems() -> list[System]:
    cores = os.cpu_count() or 1

    def grid(**values: tuple[float, ...]) -> tuple[Setting, ...]:
        """Every combination in which workers × threads is the number of cores: more only get in each other's way."""
        every = (dict(zip(values, map(str, one), strict=True)) for one in itertools.product(*values.values()))
        return tuple(
            {f"PEER_{key.upper()}": value for key, value in one.items()}
            for one in every
            if int(one["workers"]) * int(one["threads"]) == cores
        )

    workers = tuple(sorted({1, cores}))
    threads = tuple(sorted({1, cores}))
    return [
        System("fastapi", _peer("benchmarks.peers.fastapi_loop"), _plain, grid(workers=workers, threads=threads)),
        System(
            "litserve",
            _peer("benchmarks.peers.litserve_batching"),
            _plain,
            grid(workers=workers, threads=threads, batch=(8, 32), wait=(0.05,)),
        ),
        System("bentoml", _bentoml, _wrapped, grid(workers=workers, threads=threads, batch=(8, 32))),
        System("spirale", _spirale, _ours),
    ]


def _environment(setting: Setting) -> dict[str, str]:
    device, _, precision = machine.served(MODEL, BACKEND)
    threads = setting["PEER_THREADS"]
    return {**setting, "PEER_DEVICE": device, "PEER_PRECISION": precision, "OMP_NUM_THREADS": threads}


def _peer(module: str) -> Callable[[Setting], AbstractContextManager[Served]]:
    @contextmanager
    def start(setting: Setting) -> Iterator[Served]:
        port = free_port()
        with serving("-m", module, str(port), port=port, ready="/health", environment=_environment(setting)) as served:
            yield served

    return start


@contextmanager
def _bentoml(setting: Setting) -> Iterator[Served]:
    port = free_port()
    command = ("-m", "bentoml", "serve", "benchmarks.peers.bentoml_batching:Peer", "--port", str(port))
    environment = {**_environment(setting), "BENTOML_HOST": "127.0.0.1", "BENTOML_DO_NOT_TRACK": "True"}
    with serving(*command, port=port, environment=environment) as served:
        yield served


@contextmanager
def _spirale(setting: Setting) -> Iterator[Served]:
    limits = ("--max-queued-seconds", "3600", "--deadline-seconds", "3600")
    with spirale("--backend", BACKEND, *limits, "--log-format", "json") as served:
        yield served


def _plain(label: int, steps: int, seed: int) -> load.Body:
    return {"label": label, "steps": steps, "seed": seed}


def _wrapped(label: int, steps: int, seed: int) -> load.Body:
    return {"bodies": [_plain(label, steps, seed)]}


def _ours(label: int, steps: int, seed: int) -> load.Body:
    return {
        "dataset": "mnist",
        "model": MODEL,
        "guidance": "none",
        "sampler": SAMPLER,
        **_plain(label, steps, seed),
    }
