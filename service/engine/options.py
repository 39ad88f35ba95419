"""What the engine may be told."""

from dataclasses import dataclass
from typing import Literal

from service.engine.hardware import DEFAULT_THREADS


@dataclass(frozen=True)
class EngineOptions:
    """device, backend and precision may be "auto"; batch_sizes empty means the default of the kind of data."""

    device: str = "auto"
    backend: Literal["auto", "onnx", "torch"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    batch_sizes: tuple[int, ...] = ()
    compile: bool = False
    threads: int = DEFAULT_THREADS
    max_queued_seconds: float = 60.0
    deadline_seconds: float = 120.0
