"""What the bits of samples depend on besides weights and request."""

import platform
from importlib.metadata import version

import torch

from service.engine.snapshot import EngineSnapshot


def arithmetic_of(engine: EngineSnapshot, key: str, threads: int) -> str:
    """Equal where the same model gives the same bytes; words for people.

    key      of a model that is ready
    threads  of the network
    """
    model = engine.models[key]
    if model.backend == "torch":
        by, sizes = f"torch {torch.__version__}", f", batches of {model.curve.sizes[-1]}"
    else:
        by, sizes = f"onnxruntime {version('onnxruntime')}", ""
    device = engine.devices[0]
    if device == "cpu":
        device = f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()} with {threads} threads"
    return f"{by} in {model.precision} on {device}{sizes}"
