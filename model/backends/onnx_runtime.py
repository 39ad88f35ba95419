"""Checkpoints by ONNX Runtime on a CPU, in float32, or with convolutions in integers.

Its kernels give a row the same bits in every batch, and small batches cost little more than their share.
"""

from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from model.backends.onnx_graph import GraphError, checked_graph
from model.backends.pytorch import example_rows, torch_row_function
from model.checkpoints.denoiser import DenoiserCheckpoint
from model.checkpoints.roles import ServedCheckpoint
from model.checkpoints.weights import fingerprint

AS_PYTORCH = 1e-3  # of the largest number: how far the graph's answer may be from PyTorch's …
AS_PYTORCH_IN_INT8 = 0.25  # the same, where 8 bits round what the convolutions read
LARGEST_AT_LEAST = 1e-2  # … which counts as this where it is smaller: an untrained ControlNet gives zeros
ROWS_COMPARED = 2


def onnx_row_function(checkpoint: ServedCheckpoint, threads: int = 0, *, int8: bool = False) -> "OnnxFunction":
    """The checkpoint's network, or its gradient, by its graph, on so many threads; 0 is one a core. Threads change no
    bit.

    int8  by a denoiser's graph in integers

    Raises GraphError where the graph is missing, is not of these weights, or computes something else than they do.
    """
    graph = checkpoint.graph
    if int8:
        graph = checkpoint.int8_graph if isinstance(checkpoint, DenoiserCheckpoint) else None
    if graph is None:
        raise GraphError("there is none")
    weights = {name: tensor.float().contiguous() for name, tensor in checkpoint.network.state_dict().items()}
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    outside = checked_graph(graph, fingerprint(checkpoint.network), shapes)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3  # errors only
    # Threads that wait for each other spin for some microseconds, then sleep, and never spin between two passes. On two
    # cores a pass of two rows took 6 ms idle and 14 beside a busy core; if they never spin 8 and 10, longer 6 and 17.
    options.add_session_config_entry("session.intra_op.spin_duration_us", "50")
    options.add_session_config_entry("session.force_spinning_stop", "1")
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(weights[name].numpy()) for name in outside]
    options.add_external_initializers(outside, values)
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        function = OnnxFunction(session)
        _compare(function, checkpoint, int8)
    except GraphError:
        raise
    except Exception as error:  # of many kinds, none of them public
        raise GraphError(f"ONNX Runtime refuses it: {' '.join(str(error).split())[:200]}") from error
    return function


class OnnxFunction:
    """A graph as a function of rows, one of `RowFunction`: the graph tells how many tensors it returns.

    A row's result has the same bits in every batch. Inputs that the caller leaves out at the end are zeros: a
    ControlNet's outputs, where no row has a hint. A graph of a fixed number of rows is run as often as it takes.
    """

    def __init__(self, session: onnxruntime.InferenceSession):
        self._session = session
        self._inputs = session.get_inputs()
        self._outputs = [output.name for output in session.get_outputs()]
        rows = self._inputs[0].shape[0]
        self._fixed_rows = rows if isinstance(rows, int) else None
        self._left_out = [np.zeros((1, *each.shape[1:]), np.float32) for each in self._inputs[3:]]

    def __call__(self, *rows: Tensor) -> Any:
        given = [one.numpy() for one in rows]
        found = self._run(given) if self._fixed_rows is None else self._run_fixed(given, self._fixed_rows)
        tensors = tuple(torch.from_numpy(one) for one in found)
        return tensors if len(tensors) > 1 else tensors[0]

    def examples_after(self, given: int, rows: int) -> list[Tensor]:
        """Random rows for the inputs that come after so many."""
        generator = torch.Generator().manual_seed(0)
        return [torch.randn(rows, *each.shape[1:], generator=generator) for each in self._inputs[given:]]

    def _run(self, given: list[np.ndarray]) -> list[np.ndarray]:
        values = [*given, *self._left_out[len(given) - 3 :]]
        named = {each.name: value for each, value in zip(self._inputs, values, strict=True)}
        found: list[np.ndarray] = self._session.run(self._outputs, named)
        return found

    def _run_fixed(self, given: list[np.ndarray], rows: int) -> list[np.ndarray]:
        count = len(given[0])
        parts = []
        for start in range(0, count, rows):
            taken = np.minimum(np.arange(start, start + rows), count - 1)  # the last row again, where there is none
            parts.append(self._run([value[taken] for value in given]))
        return [np.concatenate(one)[:count] for one in zip(*parts, strict=True)]


def _compare(function: OnnxFunction, checkpoint: ServedCheckpoint, int8: bool) -> None:
    """Raises GraphError where a few rows' results differ from PyTorch's by more than rounding: without what a
    ControlNet adds, and with it where the graph takes it. In integers they are noise at t = T, as a run begins: at
    other t noise alone is nothing that integers were scaled for, and neither is what a random ControlNet adds."""
    by_torch, rows = torch_row_function(checkpoint), example_rows(checkpoint, ROWS_COMPARED)
    residuals = [] if int8 else function.examples_after(len(rows), ROWS_COMPARED)
    if int8:
        x, t, *more = rows
        rows = (x, torch.full_like(t, checkpoint.schedule.T), *more)
    tolerance = AS_PYTORCH_IN_INT8 if int8 else AS_PYTORCH
    for given in (rows, (*rows, *residuals)) if residuals else (rows,):
        with torch.inference_mode():
            expected, found = by_torch(*given), function(*given)
        for one, other in zip(_tuple(expected), _tuple(found), strict=True):
            largest = max(LARGEST_AT_LEAST, float(one.abs().max()))
            if one.shape != other.shape or not (one - other).abs().max() <= tolerance * largest:
                raise GraphError("it computes something else than PyTorch does with the same weights")


def _tuple(found: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return found if isinstance(found, tuple) else (found,)
