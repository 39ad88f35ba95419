"""A denoiser's graph whose convolutions multiply 8-bit integers.

Sums of integers are exact, so a row has the same bits in every batch here too. Processors without instructions for dot
products of bytes add two products in 16 bits and cut off what is larger: with weights of 7 bits nothing is. The weights
stay in the checkpoint's safetensors file. The graph has the scales by which they, and what the convolutions read,
become integers.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.external_data_helper import load_external_data_for_model
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from torch import Tensor

from model.backends.onnx_graph import GraphError
from model.backends.quiet import quiet
from model.checkpoints.base import INT8_GRAPH
from model.checkpoints.denoiser import DenoiserCheckpoint


def write_int8_graph(folder: Path, checkpoint: DenoiserCheckpoint, calibration: Sequence[Sequence[Tensor]]) -> None:
    """Write the graph beside the folder's weights, by an atomic rename.

    calibration  batches of what the network reads as it samples, at every noise level: see `make_int8_graph`

    Raises GraphError where the folder has no graph, or one without convolutions.
    """
    partial = folder / (INT8_GRAPH + ".partial")
    partial.write_bytes(make_int8_graph(folder, checkpoint, calibration))
    partial.replace(folder / INT8_GRAPH)


def make_int8_graph(folder: Path, checkpoint: DenoiserCheckpoint, calibration: Sequence[Sequence[Tensor]]) -> bytes:
    """The checkpoint's float32 graph with its convolutions in integers.

    folder       where the weights lie that the graph reads
    calibration  batches of (x, t, condition, …). Their largest and smallest activations become the ends of the scales:
                 larger ones are cut off

    Raises GraphError where there is no graph, or one without convolutions.
    """
    if checkpoint.graph is None:
        raise GraphError(f"{checkpoint.name} has no graph: export it first")
    original = onnx.load_model_from_string(checkpoint.graph)
    if not any(node.op_type == "Conv" for node in original.graph.node):
        raise GraphError(f"the network of {checkpoint.name} has no convolutions, which are what integers make faster")
    outside = {one.name: onnx.TensorProto.FromString(one.SerializeToString()) for one in original.graph.initializer
               if one.data_location == onnx.TensorProto.EXTERNAL}  # fmt: skip
    metadata = list(original.metadata_props)
    load_external_data_for_model(original, str(folder))
    with tempfile.TemporaryDirectory() as scratch, quiet():
        path = Path(scratch) / "graph.onnx"
        quantize_static(
            original,
            path,
            _Calibration(original, calibration),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            reduce_range=True,  # −64 … 64: 2 · 255 · 64 is less than 2¹⁵
            extra_options={"AddQDQPairToWeight": True},  # the weights stay numbers in float32, in their own file
        )
        found = onnx.load(path)
    for one in found.graph.initializer:
        if one.name in outside:
            one.CopyFrom(outside[one.name])
    del found.metadata_props[:]
    found.metadata_props.extend(metadata)
    serialized: bytes = found.SerializeToString(deterministic=True)
    return serialized


class _Calibration(CalibrationDataReader):  # type: ignore[misc]  # ONNX Runtime has no types
    """Batches by the names of the graph's inputs. What a batch leaves out is zeros: no ControlNet adds anything."""

    def __init__(self, model: onnx.ModelProto, batches: Sequence[Sequence[Tensor]]):
        self._inputs = [
            (one.name, [dimension.dim_value for dimension in one.type.tensor_type.shape.dim[1:]])
            for one in model.graph.input
        ]
        self._batches = iter(batches)

    def get_next(self) -> dict[str, NDArray[np.generic]] | None:
        batch = next(self._batches, None)
        if batch is None:
            return None
        given = [one.numpy() for one in batch]
        left_out = [np.zeros((len(given[0]), *shape), np.float32) for _, shape in self._inputs[len(given) :]]
        return {name: value for (name, _), value in zip(self._inputs, [*given, *left_out], strict=True)}
