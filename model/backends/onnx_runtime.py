"""Checkpoints by ONNX Runtime on a CPU, in float32, or with convolutions in integers.

Its kernels give a row the same bits in every batch, and small batches cost little more than their share.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from model.backends.onnx_graph import GraphError, checked_graph, row_shapes
from model.backends.pytorch import example_rows, torch_row_function
from model.checkpoints.denoiser import DenoiserCheckpoint
from model.checkpoints.roles import ServedCheckpoint

AS_PYTORCH = 1e-3  # of the largest number: how far the graph's answer may be from PyTorch's …
AS_PYTORCH_IN_INT8 = 0.25  # the same, where 8 bits round what the convolutions read
LARGEST_AT_LEAST = 1e-2  # … which counts as this where it is smaller: an untrained ControlNet gives zeros
ROWS_COMPARED = 2

Rows = tuple[Tensor, ...]


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
    outside = checked_graph(graph, checkpoint.fingerprint, shapes)
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
        # PyTorch's copy of the weights is gone before ONNX Runtime makes its own: each is as large as the network.
        expected = _expected_of(checkpoint, graph, int8)
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        function = OnnxFunction(session)
        _compare(function, expected, AS_PYTORCH_IN_INT8 if int8 else AS_PYTORCH)
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


def _expected_of(checkpoint: ServedCheckpoint, graph: bytes, int8: bool) -> list[tuple[Rows, Rows]]:
    """A few rows, and what PyTorch computes of them: without what a ControlNet adds, and with it where the graph takes
    it. In integers they are noise at t = T, as a run begins: at other t noise alone is nothing that integers were
    scaled for, and neither is what a random ControlNet adds."""
    by_torch, rows = torch_row_function(checkpoint), example_rows(checkpoint, ROWS_COMPARED)
    asked = [rows]
    if int8:
        x, t, *more = rows
        asked = [(x, torch.full_like(t, checkpoint.schedule.T), *more)]
    elif shapes := row_shapes(graph)[len(rows) :]:
        generator = torch.Generator().manual_seed(0)
        asked.append((*rows, *(torch.randn(ROWS_COMPARED, *shape, generator=generator) for shape in shapes)))
    with torch.inference_mode():
        return [(given, _tuple(by_torch(*given))) for given in asked]


def _compare(function: OnnxFunction, expected: Sequence[tuple[Rows, Rows]], tolerance: float) -> None:
    """Raises GraphError where the function's results differ from those expected by more than rounding."""
    for given, by_torch in expected:
        for one, other in zip(by_torch, _tuple(function(*given)), strict=True):
            largest = max(LARGEST_AT_LEAST, float(one.abs().max()))
            if one.shape != other.shape or not (one - other).abs().max() <= tolerance * largest:
                raise GraphError("it computes something else than PyTorch does with the same weights")


def _tuple(found: Tensor | Rows) -> Rows:
    return found if isinstance(found, tuple) else (found,)
