"""What the bits of samples depend on besides weights and request."""

import platform
from importlib.metadata import version

import torch

from service.engine.snapshot import EngineSnapshot


def arithmetic_of(engine: EngineSnapshot, key: str) -> str:
    """Equal where the same model gives the same bytes; words for people. All workers give the same.

    key  of a model that is ready
    """
    model = engine.models[key]
    if model.backend == "torch":
        by, sizes = f"torch {torch.__version__}", f", batches of {model.curve.sizes[-1]}"
    else:
        by, sizes = f"onnxruntime {version('onnxruntime')}", ""
    worker = engine.workers[0]
    if worker.kind == "cpu":
        device = f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()} with {worker.torch_threads} threads"
    else:
        device = torch.cuda.get_device_name(worker.device)
    return f"{by} in {model.precision} on {device}{sizes}"
