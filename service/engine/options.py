"""What the engine may be told."""

from dataclasses import dataclass
from typing import Literal

from service.engine.hardware import DEFAULT_THREADS

WantedBackend = Literal["auto", "onnx", "torch"]
WantedPrecision = Literal["auto", "float32", "bfloat16", "int8"]


@dataclass(frozen=True)
class EngineOptions:
    """device, backend and precision may be "auto"; batch_sizes empty means the default of the kind of data.

    device   one, or several as `parse_devices` reads them
    threads  that networks are computed with, where a device is no set of cores
    load     the models that are made ready at the start: all, or the first that can be; `Engine.load` adds others
    """

    device: str = "auto"
    backend: WantedBackend = "auto"
    precision: WantedPrecision = "auto"
    batch_sizes: tuple[int, ...] = ()
    compile: bool = False
    load: Literal["all", "first"] = "all"
    threads: int = DEFAULT_THREADS
    max_queued_seconds: float = 60.0
    deadline_seconds: float = 120.0
