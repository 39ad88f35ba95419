"""An ONNX graph beside a checkpoint's weights: what it may contain, and where it finds the weights."""

from collections.abc import Mapping

import onnx

from model.checkpoints.base import WEIGHTS

WEIGHTS_OF = "spirale.weights"
"""The graph's metadata that bind it to its weights: see `model.checkpoints.weights.fingerprint`."""


class GraphError(Exception):
    """A graph that is missing or cannot be used; the message says why."""


def checked_graph(graph: bytes, fingerprint: str, weights: Mapping[str, tuple[int, ...]]) -> list[str]:
    """The names of the weights that the graph reads.

    fingerprint  of the checkpoint's weights
    weights      their shapes, by name

    Raises GraphError where the graph is broken, is bound to other weights, or would read any file but the weights.
    """
    if not graph:
        raise GraphError("it is empty")
    try:
        model = onnx.load_model_from_string(graph)
    except Exception as error:  # of protobuf, which has no types
        raise GraphError(f"it is cut short, or no ONNX graph: {error}") from error
    bound_to = {entry.key: entry.value for entry in model.metadata_props}.get(WEIGHTS_OF)
    if bound_to != fingerprint:
        raise GraphError(f"it was made of other weights ({bound_to or 'it names none'}); these are {fingerprint}")
    if model.functions or model.graph.sparse_initializer or any(_is_foreign(node) for node in model.graph.node):
        raise GraphError("no graph of ours has functions, inner graphs, sparse tensors or other operators")
    outside = []
    for tensor in model.graph.initializer:
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        location = {entry.key: entry.value for entry in tensor.external_data}.get("location")
        if location != WEIGHTS:
            raise GraphError(f"its {tensor.name} is in the file {location!r}: only {WEIGHTS} is read")
        if weights.get(tensor.name) != tuple(tensor.dims):
            raise GraphError(f"{WEIGHTS} has no {tensor.name} of the shape {list(tensor.dims)}")
        outside.append(tensor.name)
    if any(_is_outside(node) for node in model.graph.node):
        raise GraphError("a constant of its is in a file of its own")
    return outside


def row_shapes(graph: bytes) -> list[tuple[int, ...]]:
    """The shape of a row of each of the graph's inputs."""
    inputs = onnx.load_model_from_string(graph).graph.input
    return [tuple(side.dim_value for side in each.type.tensor_type.shape.dim[1:]) for each in inputs]


def _is_foreign(node: onnx.NodeProto) -> bool:
    """Is it an operator that ONNX does not define, or does it hold a graph or a sparse tensor?"""
    return node.domain not in ("", "ai.onnx") or any(
        attribute.HasField("g") or attribute.graphs or attribute.HasField("sparse_tensor") or attribute.sparse_tensors
        for attribute in node.attribute
    )


def _is_outside(node: onnx.NodeProto) -> bool:
    tensors = [one for attribute in node.attribute for one in (attribute.t, *attribute.tensors)]
    return any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in tensors)
