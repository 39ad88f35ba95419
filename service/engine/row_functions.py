"""Checkpoints made ready to compute rows: by ONNX Runtime in batches of any size, or by PyTorch in padded ones."""

import math
import time
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeVar

import structlog
import torch

from model.backends.onnx_graph import GraphError
from model.backends.onnx_runtime import OnnxFunction, onnx_row_function
from model.backends.pytorch import example_rows, torch_row_function
from model.checkpoints.autoguidance import AutoguidanceCheckpoint
from model.checkpoints.base import Precision, TorchPrecision
from model.checkpoints.control import ControlCheckpoint
from model.checkpoints.denoiser import DenoiserCheckpoint
from model.checkpoints.roles import ServedCheckpoint
from model.compilation import compiled
from model.precision import choose_precision
from service.engine.buckets import BucketedNetwork, default_sizes
from service.engine.options import WantedBackend, WantedPrecision

log = structlog.get_logger(__name__)

Backend = Literal["onnx", "torch"]

# Sizes at which a pass is timed, where it may have any size. The largest is that of `default_sizes`, because PyTorch
# may have to compute a gradient of as many rows.
TIMED_SIZES: Mapping[str, tuple[int, ...]] = {"images": (1, 4, 16, 32, 64), "points": (1, 64, 256, 512, 1024)}
PASSES = 2  # of each size: the first finds its memory
A_MOMENT = 0.002  # seconds between two looks at another thread

T = TypeVar("T")


def choose_backend(wanted: WantedBackend, device: torch.device, precision: WantedPrecision, compile: bool) -> Backend:
    """What is asked for by name, or by the rule: ONNX Runtime on CPUs, PyTorch on every other device, and where
    bfloat16 or compiled kernels are asked for, which it alone has. ONNX Runtime alone has int8."""
    if wanted != "auto":
        return wanted
    return "onnx" if device.type == "cpu" and precision != "bfloat16" and not compile else "torch"


def precision_by(
    backend: Backend, wanted: WantedPrecision, checkpoint: DenoiserCheckpoint, device: torch.device
) -> Precision:
    """What is wanted, where the card allows it. Otherwise ONNX Runtime takes float32, as PyTorch does beside it."""
    if backend == "torch":
        return choose_precision(wanted, checkpoint, device)
    return "int8" if wanted == "int8" and "int8" in checkpoint.config.precisions else "float32"


@dataclass(frozen=True, eq=False)
class ReadyFunction:
    """A checkpoint's network or gradient, as it is called with the rows of a tick.

    precision  that it computes in, which is float32 where what was wanted cannot be used
    seconds  that a pass took, by batch size. Where `backend` is onnx, a batch may have any size up to the largest, and
             only a model's network is timed
    """

    call: BucketedNetwork[Any] | OnnxFunction
    backend: Backend
    precision: Precision
    seconds: Mapping[int, float]
    is_compiled: bool = False

    @property
    def any_size(self) -> bool:
        return self.backend == "onnx"

    @property
    def sizes(self) -> tuple[int, ...]:
        """The batch sizes that it is run at; empty for any."""
        return () if self.any_size else tuple(self.seconds)


class RowFunctions:
    """Where a graph is missing or refused, the log says so, and PyTorch computes that checkpoint.

    threads        of ONNX Runtime, where they change no bits
    torch_threads  of PyTorch, where they do
    sizes          batch sizes for every model; empty is the default of each
    """

    def __init__(
        self,
        device: torch.device,
        backend: Backend,
        threads: int,
        torch_threads: int,
        compile: bool,
        sizes: tuple[int, ...] = (),
    ):
        self._device, self._backend, self._threads, self._torch_threads = device, backend, threads, torch_threads
        self._compile, self._sizes = compile, sizes
        # By the layers of a network, its config in JSON: others with the same ones take as long, and a server has
        # seconds to start in.
        self._seconds: dict[tuple[str, tuple[int, ...], Precision], Mapping[int, float]] = {}

    def ready(self, checkpoint: ServedCheckpoint, precision: Precision) -> Generator[None, None, ReadyFunction]:
        """Make it ready, and time it if it is the first model's network of its layers. Weights that are on disk are
        read for this only.

        Yields after each pass, so that the rows of other models need not wait.
        """
        if checkpoint.on_disk is not None:
            read: Callable[[], ServedCheckpoint] = checkpoint.with_weights
            checkpoint = yield from _beside(read)
        if self._backend == "onnx":
            found = yield from self._first_usable(checkpoint, precision)
            if found is not None:
                function, runs_in = found
                seconds: Mapping[int, float] = {}
                if isinstance(checkpoint, DenoiserCheckpoint):
                    layers = checkpoint.config.network.model_dump_json(), checkpoint.data.shape, runs_in
                    if layers not in self._seconds:
                        self._seconds[layers] = yield from self._timed(function, checkpoint)
                    seconds = self._seconds[layers]
                return ReadyFunction(function, "onnx", runs_in, seconds)
        by_torch_in: TorchPrecision = "bfloat16" if precision == "bfloat16" else "float32"
        torch.set_num_threads(self._torch_threads)  # of this thread
        by_torch = torch_row_function(checkpoint, self._device, by_torch_in)
        sizes = self._sizes or default_sizes(checkpoint.data)
        example, *more = (one[0].cpu() for one in example_rows(checkpoint, 1)[2:])
        bucketed: BucketedNetwork[Any]
        compiles = self._compile and isinstance(
            checkpoint,
            DenoiserCheckpoint | ControlCheckpoint | AutoguidanceCheckpoint,  # no gradient
        )
        bucketed = BucketedNetwork(compiled(by_torch) if compiles else by_torch, sizes, example)
        seconds = yield from bucketed.keep_bit_equal_sizes(
            checkpoint.data.shape, checkpoint.schedule.T, self._device, *more
        )
        if len(seconds) < len(sizes):
            log.info(
                "batch sizes dropped: rows differ there in the last bits", network=checkpoint.name, kept=tuple(seconds)
            )
        return ReadyFunction(bucketed, "torch", by_torch_in, seconds, compiles)

    def _first_usable(
        self, checkpoint: ServedCheckpoint, precision: Precision
    ) -> Generator[None, None, tuple[OnnxFunction, Precision] | None]:
        """By the graph in integers where that is wanted, else by the one in float32. None where neither can be used."""
        wanted: list[Precision] = ["float32"]
        if precision == "int8" and isinstance(checkpoint, DenoiserCheckpoint):
            wanted.insert(0, "int8")
        for one in wanted:
            try:
                return (yield from _beside(partial(self._by_onnx, checkpoint, one == "int8"))), one
            except GraphError as error:
                int8 = one == "int8"
                log.warning(
                    f"graph not used, {'its graph in float32' if int8 else 'PyTorch'} computes this",
                    checkpoint=checkpoint.name,
                    reason=str(error),
                    remedy=f"python -m training export {checkpoint.name}{' --int8' if int8 else ''}",
                )
        return None

    def _by_onnx(self, checkpoint: ServedCheckpoint, int8: bool) -> OnnxFunction:
        torch.set_num_threads(self._torch_threads)  # of this thread, which compares the graph with PyTorch
        return onnx_row_function(checkpoint, self._threads, int8=int8)

    def _timed(self, function: OnnxFunction, checkpoint: ServedCheckpoint) -> Generator[None, None, dict[int, float]]:
        found = {}
        for size in sorted({1, *(self._sizes or TIMED_SIZES[checkpoint.data.kind])}):
            rows = example_rows(checkpoint, size)
            found[size] = math.inf
            for _ in range(PASSES):
                started = time.perf_counter()
                function(*rows)
                found[size] = min(found[size], time.perf_counter() - started)
                yield
        return found


def _beside(compute: Callable[[], T]) -> Generator[None, None, T]:
    """Compute it in another thread, and yield until it is there: rows of other models need not wait."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        found = thread.submit(compute)
        while not found.done():
            yield
            wait([found], timeout=A_MOMENT)
        return found.result()
