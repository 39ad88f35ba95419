"""The machine, by name, and what the bare network does on it."""

import platform
import time
from pathlib import Path

import torch
from rich.console import Console

from model.checkpoints.base import Precision
from model.checkpoints.denoiser import DenoiserCheckpoint, load_checkpoint
from model.precision import choose_precision
from service.engine.buckets import default_sizes
from service.engine.hardware import choose_device

CHECKPOINTS = Path(__file__).parent.parent / "checkpoints"

console = Console(width=120, highlight=False)


def describe() -> str:
    device = choose_device("auto")
    name = torch.cuda.get_device_name() if device == "cuda" else _processor()
    return f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}, Python {platform.python_version()}"


def served(name: str) -> tuple[DenoiserCheckpoint, str, Precision]:
    """(checkpoint, device, precision) as the service would run it by default."""
    checkpoint = load_checkpoint(CHECKPOINTS / name)
    device = choose_device("auto")
    return checkpoint, device, choose_precision("auto", checkpoint, torch.device(device))


@torch.inference_mode()
def bare_curve(name: str, seconds_each: float = 0.5) -> dict[int, float]:
    """Evaluations per second of the network alone, by batch size, over all passes that fit into the time."""
    checkpoint, device, precision = served(name)
    network = checkpoint.denoiser(device, precision).network
    curve = {}
    for size in default_sizes(checkpoint.config.data):
        x = torch.randn(size, *checkpoint.config.data.shape, device=device)
        t = torch.randint(1, checkpoint.schedule.T + 1, (size,), device=device)
        label = torch.zeros(size, dtype=torch.int64, device=device)
        network(x, t, label)
        passes, started = 0, time.perf_counter()
        while passes < 3 or time.perf_counter() < started + seconds_each:
            network(x, t, label).sum().item()
            passes += 1
        curve[size] = size * passes / (time.perf_counter() - started)
    return curve


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
