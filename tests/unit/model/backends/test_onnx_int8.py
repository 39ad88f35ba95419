"""Graphs in integers: rows are exact in every batch, weights stay where they are, and what is unusable is not used."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from model.backends.onnx_graph import GraphError, checked_graph
from model.backends.onnx_int8 import make_int8_graph
from model.backends.onnx_runtime import OnnxFunction, onnx_row_function
from model.backends.pytorch import example_rows, torch_row_function
from model.checkpoints.denoiser import DenoiserCheckpoint, load_checkpoint
from model.checkpoints.weights import fingerprint
from service.engine.row_functions import ReadyFunction, RowFunctions

CHECKPOINTS = Path(__file__).parents[4] / "checkpoints"


@cache
def digits() -> DenoiserCheckpoint:
    """With a graph that is scaled for noise at t = T."""
    checkpoint = load_checkpoint(CHECKPOINTS / "mnist-ddpm")
    graph = make_int8_graph(CHECKPOINTS / "mnist-ddpm", checkpoint, [noise(checkpoint, 16)])
    return replace(checkpoint, int8_graph=graph)


def noise(checkpoint: DenoiserCheckpoint, rows: int) -> tuple[torch.Tensor, ...]:
    x, t, *more = example_rows(checkpoint, rows)
    return x, torch.full_like(t, checkpoint.schedule.T), *more


@cache
def in_integers() -> OnnxFunction:
    return onnx_row_function(digits(), threads=2, int8=True)


def test_integers_give_a_row_the_same_bits_in_every_company():
    function, rows = in_integers(), noise(digits(), 64)
    whole, draw = function(*rows), np.random.default_rng(0)
    for size in (1, 2, 5, 31, 63):
        chosen = torch.from_numpy(draw.choice(64, size, replace=False))
        assert torch.equal(function(*(one[chosen] for one in rows)), whole[chosen])


def test_integers_are_near_pytorch_and_are_no_float32():
    rows = noise(digits(), 16)
    with torch.inference_mode():
        expected = torch_row_function(digits())(*rows)
    found = in_integers()(*rows)
    error = float((found - expected).square().mean().sqrt() / expected.square().mean().sqrt())
    assert 1e-3 < error < 0.1  # eight bits round by some hundredths


def test_two_products_fit_into_16_bits_as_processors_without_dot_products_add_them():
    network, graph = digits().network.state_dict(), onnx.load_model_from_string(digits().int8_graph).graph
    inside = [one for one in graph.initializer if one.data_location != onnx.TensorProto.EXTERNAL]
    scales = {one.name: torch.tensor(onnx.numpy_helper.to_array(one)) for one in inside}
    quantised = [node.input for node in graph.node if node.op_type == "QuantizeLinear" and node.input[0] in network]
    assert len(quantised) == sum(node.op_type == "Conv" for node in graph.node)
    for weight, scale, *_ in quantised:
        largest = network[weight].abs().amax((1, 2, 3)) / scales[scale]
        assert 2 * 255 * largest.round().max() < 2**15
        assert largest.median() > 60  # and 7 bits are made use of


def test_the_weights_are_read_from_their_own_file_and_not_stored_twice():
    checkpoint = digits()
    shapes = {name: tuple(tensor.shape) for name, tensor in checkpoint.network.state_dict().items()}
    outside = checked_graph(checkpoint.int8_graph, fingerprint(checkpoint.network), shapes)
    inside = [one for one in onnx.load_model_from_string(checkpoint.int8_graph).graph.initializer if one.raw_data]
    large = {name for name, shape in shapes.items() if len(shape) > 1 and name in checkpoint.graph.decode("latin-1")}
    assert large <= set(outside)
    weights = sum(4 * one.numel() for one in checkpoint.network.parameters())
    assert sum(len(one.raw_data) for one in inside) < 0.02 * weights


def made_ready(checkpoint: DenoiserCheckpoint) -> ReadyFunction:
    making = RowFunctions(torch.device("cpu"), "onnx", threads=1, torch_threads=1, compile=False, sizes=(1,)).ready(
        checkpoint, "int8"
    )
    while True:
        try:
            next(making)
        except StopIteration as end:
            return end.value


@pytest.mark.parametrize(
    ("graph", "says"), [(None, "there is none"), (b"", "it is empty"), ("of other weights", r"other weights \(0{16}\)")]
)
def test_without_a_usable_graph_in_integers_float32_computes(graph, says):
    checkpoint = digits()
    if isinstance(graph, str):
        graph = checkpoint.int8_graph.replace(fingerprint(checkpoint.network).encode(), b"0" * 16)
    with pytest.raises(GraphError, match=says):
        onnx_row_function(replace(checkpoint, int8_graph=graph), int8=True)
    ready = made_ready(replace(checkpoint, int8_graph=graph))
    assert (ready.backend, ready.precision) == ("onnx", "float32")
    rows = noise(checkpoint, 2)
    assert torch.equal(ready.call(*rows), onnx_row_function(checkpoint, 1)(*rows))


def test_a_usable_one_is_used_where_it_is_wanted():
    ready, rows = made_ready(digits()), noise(digits(), 2)
    assert ready.precision == "int8"
    assert torch.equal(ready.call(*rows), in_integers()(*rows))


def test_networks_without_convolutions_have_no_graph_in_integers():
    checkpoint = load_checkpoint(CHECKPOINTS / "spiral-ddpm")
    with pytest.raises(GraphError, match="no convolutions"):
        make_int8_graph(CHECKPOINTS / "spiral-ddpm", checkpoint, [])
    with pytest.raises(GraphError, match="export it first"):
        make_int8_graph(CHECKPOINTS / "spiral-ddpm", replace(checkpoint, graph=None), [])
