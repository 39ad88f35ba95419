"""The machine, by name, and what the bare network does on it."""

import platform
import time
from functools import cache
from pathlib import Path

import torch
from rich.console import Console

from model.backends.onnx_runtime import onnx_row_function
from model.backends.pytorch import example_rows, torch_row_function
from model.checkpoints.base import TorchPrecision
from model.checkpoints.denoiser import DenoiserCheckpoint, load_checkpoint
from model.denoiser import Denoiser, RowFunction
from model.precision import choose_precision
from service.engine.buckets import default_sizes
from service.engine.hardware import DEFAULT_THREADS, choose_device
from service.engine.options import WantedBackend
from service.engine.row_functions import TIMED_SIZES, Backend, choose_backend

CHECKPOINTS = Path(__file__).parent.parent / "checkpoints"

console = Console(width=120, highlight=False)


def describe() -> str:
    device = choose_device("auto")
    name = torch.cuda.get_device_name() if device == "cuda" else _processor()
    return f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}, Python {platform.python_version()}"


@cache
def checkpoint(name: str) -> DenoiserCheckpoint:
    return load_checkpoint(CHECKPOINTS / name)


@cache
def plain_denoiser(name: str) -> Denoiser:
    """By PyTorch, in float32, on the CPU."""
    return checkpoint(name).denoiser()


def served(name: str, backend: WantedBackend = "auto") -> tuple[str, Backend, TorchPrecision]:
    """(device, backend, precision) as the service would run the model, by that backend or by default."""
    device = torch.device(choose_device("auto", backend))
    chosen = choose_backend(backend, device, "auto", compile=False)
    precision = "float32" if chosen == "onnx" else choose_precision("auto", checkpoint(name), device)
    return str(device), chosen, precision


@torch.inference_mode()
def bare_curve(name: str, seconds_each: float = 0.5, backend: WantedBackend = "auto") -> dict[int, float]:
    """Evaluations per second of the network alone, by batch size, over all passes that fit into the time."""
    device, chosen, precision = served(name, backend)
    if chosen == "onnx":
        network: RowFunction = onnx_row_function(checkpoint(name), DEFAULT_THREADS)
        sizes = TIMED_SIZES[checkpoint(name).data.kind]
    else:
        network, sizes = torch_row_function(checkpoint(name), device, precision), default_sizes(checkpoint(name).data)
    curve = {}
    for size in sizes:
        rows = example_rows(checkpoint(name), size, device)
        network(*rows)
        passes, started = 0, time.perf_counter()
        while passes < 3 or time.perf_counter() < started + seconds_each:
            found = network(*rows)
            assert isinstance(found, torch.Tensor)
            found.sum().item()
            passes += 1
        curve[size] = size * passes / (time.perf_counter() - started)
    return curve


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
