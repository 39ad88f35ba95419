"""Graphs beside the shipped weights: rows are exact in every batch, and a graph that cannot be trusted is refused."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from model.backends.onnx_graph import GraphError
from model.backends.onnx_runtime import OnnxFunction, onnx_row_function
from model.backends.pytorch import example_rows, torch_row_function
from model.checkpoints.config import read_role
from model.checkpoints.roles import LOADERS, ServedCheckpoint

CHECKPOINTS = Path(__file__).parents[4] / "checkpoints"

SERVED = sorted(folder.name for folder in CHECKPOINTS.glob("*") if (read_role(folder) or "denoiser") in LOADERS)


@cache
def shipped(name: str) -> ServedCheckpoint:
    folder = CHECKPOINTS / name
    return LOADERS[read_role(folder) or "denoiser"](folder)


@cache
def computed(name: str) -> OnnxFunction:
    return onnx_row_function(shipped(name), threads=2)


def rows_of(name: str, rows: int) -> tuple[torch.Tensor, ...]:
    return example_rows(shipped(name), rows)


def listed(found: torch.Tensor | tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return found if isinstance(found, tuple) else (found,)


@pytest.mark.parametrize("name", SERVED)
def test_every_shipped_network_gives_a_row_the_same_bits_in_every_company(name):
    function, rows = computed(name), rows_of(name, 64)
    whole = listed(function(*rows))
    draw = np.random.default_rng(0)
    for size in (1, 2, 3, 5, int(draw.integers(6, 64)), 63):
        chosen = torch.from_numpy(draw.choice(64, size, replace=False))
        for part, own in zip(listed(function(*(one[chosen] for one in rows))), whole, strict=True):
            assert torch.equal(part, own[chosen]), size
    by_torch = torch_row_function(shipped(name))
    with torch.inference_mode():
        expected = listed(by_torch(*(one[:2] for one in rows)))
    for own, reference in zip(whole, expected, strict=True):
        torch.testing.assert_close(own[:2], reference, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["spiral-ddpm", "spiral-classifier"])
def test_points_are_exact_in_the_large_batches_that_they_are_served_in(name):
    function, rows = computed(name), rows_of(name, 1024)
    whole = function(*rows)
    for size in (65, 500, 777, 1023):
        assert torch.equal(function(*(one[:size] for one in rows)), whole[:size])


@pytest.mark.parametrize("name", ["spiral-cfg", "spiral-fast"])
def test_points_that_share_what_follows_from_t_have_the_bits_that_each_has_alone(name):
    """Rows with the same t, condition, scale and s as others, in no order, read what was computed once for them all."""
    function, (x, *read) = computed(name), rows_of(name, 200)
    shared = torch.randint(3, (200,), generator=torch.Generator().manual_seed(1))
    read = [one[shared] for one in read]
    assert len({tuple(row) for row in zip(*(one.tolist() for one in read), strict=True)}) == 3
    together = function(x, *read)
    for row in range(200):
        assert torch.equal(function(x[row : row + 1], *(one[row : row + 1] for one in read)), together[row : row + 1])


def test_what_no_controlnet_adds_changes_no_bit():
    function, rows = computed("mnist-cfg"), rows_of("mnist-cfg", 3)
    zeros = [
        torch.zeros_like(one) for one in listed(computed("mnist-control-sketch")(*rows_of("mnist-control-sketch", 3)))
    ]
    assert torch.equal(function(*rows), function(*rows, *zeros))


def edited(graph: bytes, edit: Callable[[onnx.ModelProto], object]) -> bytes:
    model = onnx.load_model_from_string(graph)
    edit(model)
    return model.SerializeToString()


def first_outside(model: onnx.ModelProto) -> onnx.TensorProto:
    return next(one for one in model.graph.initializer if one.data_location == onnx.TensorProto.EXTERNAL)


def moved(model: onnx.ModelProto) -> None:
    next(entry for entry in first_outside(model).external_data if entry.key == "location").value = "../config.json"


def renamed(model: onnx.ModelProto) -> None:
    first_outside(model).name = "another"


def of_another_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 9999


def of_other_weights(model: onnx.ModelProto) -> None:
    model.metadata_props[0].value = "0" * 16


def computing_something_else(model: onnx.ModelProto) -> None:
    next(node for node in model.graph.node if node.op_type == "Cos").op_type = "Sin"


def with_an_output_more(model: onnx.ModelProto) -> None:
    model.graph.output.append(onnx.helper.make_tensor_value_info(model.graph.input[0].name, 1, ["rows", 2]))


def of_another_domain(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "com.microsoft"


def with_a_constant_outside(model: onnx.ModelProto) -> None:
    tensor = onnx.TensorProto(name="secret", data_type=1, dims=[2], data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../../secret")
    model.graph.node.append(onnx.helper.make_node("Constant", [], ["secret"], value=tensor))


def with_one_in_a_list(model: onnx.ModelProto) -> None:
    tensor = onnx.TensorProto(name="secret", data_type=1, dims=[2], data_location=onnx.TensorProto.EXTERNAL)
    model.graph.node[0].attribute.append(onnx.helper.make_attribute("tensors", [tensor]))


def with_a_function(model: onnx.ModelProto) -> None:
    model.functions.append(onnx.helper.make_function("own", "F", ["x"], ["x"], [], list(model.opset_import)))


def with_an_inner_graph(model: onnx.ModelProto) -> None:
    inner = onnx.helper.make_graph([], "inner", [], [])
    model.graph.node[0].attribute.append(onnx.helper.make_attribute("body", inner))


def with_several_inner_graphs(model: onnx.ModelProto) -> None:
    inner = onnx.helper.make_graph([], "inner", [], [])
    model.graph.node[0].attribute.append(onnx.helper.make_attribute("bodies", [inner, inner]))


def with_a_sparse_weight(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.add(dims=[2])


def with_a_sparse_constant(model: onnx.ModelProto) -> None:
    sparse = onnx.SparseTensorProto(dims=[2])
    model.graph.node[0].attribute.append(onnx.helper.make_attribute("sparse_value", sparse))


def with_sparse_constants(model: onnx.ModelProto) -> None:
    sparse = onnx.SparseTensorProto(dims=[2])
    model.graph.node[0].attribute.append(onnx.helper.make_attribute("sparse_values", [sparse]))


@pytest.mark.parametrize(
    "edit, reason",
    [
        (moved, "'../config.json': only model.safetensors is read"),
        (renamed, "has no another of the shape"),
        (of_another_opset, "ONNX Runtime refuses it"),
        (of_other_weights, "made of other weights"),
        (computing_something_else, "something else than PyTorch"),
        (with_an_output_more, "ONNX Runtime refuses it"),
        (of_another_domain, "other operators"),
        (with_a_constant_outside, "a constant of its is in a file of its own"),
        (with_one_in_a_list, "a constant of its is in a file of its own"),
        (with_a_function, "no graph of ours has functions"),
        (with_an_inner_graph, "inner graphs"),
        (with_several_inner_graphs, "inner graphs"),
        (with_a_sparse_weight, "sparse tensors"),
        (with_a_sparse_constant, "sparse tensors"),
        (with_sparse_constants, "sparse tensors"),
    ],
)
def test_a_graph_that_cannot_be_trusted_is_refused_and_named(edit, reason):
    checkpoint = shipped("spiral-ddpm")
    graph = edited(checkpoint.graph, edit)
    with pytest.raises(GraphError, match=reason):
        onnx_row_function(replace(checkpoint, graph=graph), threads=1)


def test_a_graph_cut_short_or_missing_is_refused():
    checkpoint = shipped("spiral-ddpm")
    with pytest.raises(GraphError, match="cut short"):
        onnx_row_function(replace(checkpoint, graph=checkpoint.graph[:-100]), threads=1)
    with pytest.raises(GraphError, match="empty"):
        onnx_row_function(replace(checkpoint, graph=b""), threads=1)
    with pytest.raises(GraphError, match="there is none"):
        onnx_row_function(replace(checkpoint, graph=None), threads=1)
