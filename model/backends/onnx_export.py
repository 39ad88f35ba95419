"""A checkpoint's network, or a guidance model's gradient → an ONNX graph that reads its weights from the checkpoint.

Needs onnxscript, which comes with what `python -m training` needs.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx_ir as ir
import torch
from onnxscript import optimizer
from torch import Tensor, nn
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from model.backends.onnx_graph import WEIGHTS_OF
from model.backends.pytorch import example_rows
from model.backends.quiet import quiet
from model.checkpoints.autoguidance import AutoguidanceCheckpoint
from model.checkpoints.base import GRAPH, WEIGHTS
from model.checkpoints.control import ControlCheckpoint
from model.checkpoints.denoiser import DenoiserCheckpoint
from model.checkpoints.guidance_model import GuidanceModel
from model.checkpoints.roles import ServedCheckpoint
from model.checkpoints.safetensors_file import opened_tensors
from model.denoiser import Gradient
from model.networks.mlp import MLP
from model.networks.unet import UNet

MOST_ROWS = 1 << 20
ROWS_OF_GRADIENT = {"images": 1, "points": 64}
"""Rows that a gradient's graph takes at once. The kernels of a backward pass sum in an order that depends on the
batch, and images are no faster in larger batches."""


def write_graph(folder: Path, checkpoint: ServedCheckpoint) -> None:
    """Write the graph beside the folder's weights, by an atomic rename."""
    graph = make_graph(checkpoint, folder / WEIGHTS)
    partial = folder / (GRAPH + ".partial")
    partial.write_bytes(graph)
    partial.replace(folder / GRAPH)


def make_graph(checkpoint: ServedCheckpoint, weights: Path) -> bytes:
    """A graph that takes what the checkpoint's function of rows takes, in that order, and returns the same.

    weights  the checkpoint's safetensors file: the graph refers to it, and holds no weights itself
    """
    module: nn.Module
    dynamic_shapes: tuple[Any, ...] | None
    if isinstance(checkpoint, DenoiserCheckpoint | ControlCheckpoint | AutoguidanceCheckpoint):
        inputs = example_rows(checkpoint, 2)
        if not isinstance(checkpoint, AutoguidanceCheckpoint):  # no ControlNet adds to it
            inputs += tuple(_residuals(checkpoint, inputs))
        any_number = {0: torch.export.Dim("rows", min=1, max=MOST_ROWS)}
        shapes: list[Any] = [any_number] * 3
        more = [any_number] * (len(inputs) - 3)
        # A network takes what comes after the condition as *more: a tuple of its own.
        shapes += [tuple(more)] if more else []
        module, dynamic_shapes = checkpoint.network_on("cpu"), tuple(shapes)
        if isinstance(module, MLP) and not inputs[2].is_floating_point():
            module = _ModulatedOnce(module)
    else:
        rows = ROWS_OF_GRADIENT[checkpoint.data.kind]
        inputs = example_rows(checkpoint, rows)
        module, dynamic_shapes = _traced_gradient(checkpoint, inputs), None
    return _graph(module, inputs, dynamic_shapes, weights, {WEIGHTS_OF: checkpoint.fingerprint})


def _graph(
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    dynamic_shapes: tuple[Any, ...] | None,
    weights: Path,
    metadata: Mapping[str, str],
) -> bytes:
    with opened_tensors(weights) as file:
        layout = file.spans
    with quiet():
        program = torch.onnx.export(
            module.to(memory_format=torch.contiguous_format),
            inputs,
            dynamo=True,
            dynamic_shapes=dynamic_shapes,
            input_names=[f"input_{index}" for index in range(len(inputs))],
            optimize=False,
            verbose=False,
        )
        assert program is not None
        model = program.model
        names = {name: name.replace("/", ".") for name in model.graph.initializers}
        parameters = {name for name, key in names.items() if key in layout}
        # What is computed from weights stays in the graph: ONNX Runtime computes it once, when it loads them.
        optimizer.optimize_ir(model, should_fold=lambda node: None if parameters.isdisjoint(_names(node)) else False)
    for name in parameters & model.graph.initializers.keys():
        value = model.graph.initializers[name]
        assert value.const_value is not None
        offset, length = layout[names[name]]
        value.const_value = ir.ExternalTensor(
            WEIGHTS, offset, length, value.const_value.dtype, shape=ir.Shape(value.const_value.numpy().shape), name=name
        )
        value.name = names[name]
    _drop_traces(model)
    model.metadata_props.update(metadata)
    serialized: bytes = ir.serde.serialize_model(model).SerializeToString()
    return serialized


def _names(node: ir.Node) -> set[str | None]:
    return {value.name for value in node.inputs if value is not None}


def _drop_traces(model: ir.Model) -> None:
    """Where each node came from: nine tenths of the file, with paths of this machine."""
    model.metadata_props.clear()
    model.graph.metadata_props.clear()
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()
    for value in [*model.graph.inputs, *model.graph.initializers.values()]:
        value.metadata_props.clear()


def _residuals(checkpoint: DenoiserCheckpoint | ControlCheckpoint, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    """What a ControlNet could add to the network, as zeros. A UNet's graph always takes it: adding zeros changes no
    bit, and one graph serves rows with hints and without."""
    network = checkpoint.network
    if not isinstance(network, UNet):
        return []
    x, t, condition, *jump = inputs
    with torch.no_grad():
        skips = network.descended(network.entered(x), F.silu(network.embedding(t, condition, *jump)))
    return [torch.zeros_like(skip) for skip in skips]


def _traced_gradient(checkpoint: GuidanceModel, inputs: tuple[Tensor, ...]) -> nn.Module:
    """The gradient's own operations, forward and backward, as a module that holds the network's weights by name."""
    network = checkpoint.network_on("cpu")
    names, values = zip(*network.state_dict().items(), strict=True)
    gradient = _Gradient(network, checkpoint.gradient_of(network))

    def of(weights: Sequence[Tensor], *rows: Tensor) -> Tensor:
        named = {f"network.{name}": one for name, one in zip(names, weights, strict=True)}
        found: Tensor = functional_call(gradient, named, rows)
        return found

    decompositions: Any = torch._decomp.core_aten_decompositions()
    decompositions[torch.ops.aten.convolution_backward.default] = _convolution_backward
    with sdpa_kernel(SDPBackend.MATH):  # the fused kernels' backward passes have no counterpart in ONNX
        operations = make_fx(of, decomposition_table=decompositions)(list(values), *inputs)
    return _WithWeights(operations, dict(zip(names, values, strict=True)))


class _ModulatedOnce(MLP):
    """An MLP that reads t and the condition once for all rows that have the same ones.

    Points come by the hundred, with one t and few labels, and half of the network's work does not look at x. No bit
    changes, because ONNX Runtime gives a row the same bits in every batch, down to a batch of one.
    """

    def __init__(self, network: MLP):
        nn.Module.__init__(self)
        self.__dict__.update(vars(network))  # the same weights, by the same names

    def forward(self, x: Tensor, t: Tensor, condition: Tensor, *jump: Tensor) -> Tensor:
        # float32 holds every t, s and label exactly: all are far below 2²⁴. A scale is float32 already.
        read = torch.stack([one.float() for one in (t, condition, *jump)], dim=1)
        distinct, which = torch.unique(read, dim=0, return_inverse=True)
        columns = zip(distinct.unbind(1), (t, condition, *jump), strict=True)
        modulations = self.modulations(*(column.to(one.dtype) for column, one in columns))
        return self.modulated(
            x, [(scale.index_select(0, which), shift.index_select(0, which)) for scale, shift in modulations]
        )


class _Gradient(nn.Module):
    """A gradient as a module: `functional_call` can then give its network other weights."""

    def __init__(self, network: nn.Module, gradient: Gradient):
        super().__init__()
        self.network = network
        self._gradient = gradient

    def forward(self, *rows: Tensor) -> Tensor:
        return self._gradient(*rows)


class _WithWeights(nn.Module):
    """Operations of (weights, *rows), as a module of the rows."""

    def __init__(self, operations: nn.Module, weights: Mapping[str, Tensor]):
        super().__init__()
        self.operations = operations
        self.names = [name.replace(".", "/") for name in weights]  # a buffer's name has no dots
        for name, one in zip(self.names, weights.values(), strict=True):
            self.register_buffer(name, one)

    def forward(self, *rows: Tensor) -> Tensor:
        found: Tensor = self.operations([getattr(self, name) for name in self.names], *rows)
        return found


def _convolution_backward(
    gradient: Tensor, x: Tensor, weight: Tensor, bias_sizes: object, stride: list[int], padding: list[int],
    dilation: list[int], transposed: bool, output_padding: list[int], groups: int, wanted: list[bool],
) -> tuple[Tensor, None, None]:  # fmt: skip
    """The gradient with respect to a convolution's input, as the transposed convolution that it is."""
    assert not transposed and wanted == [True, False, False]
    lost = [
        x.shape[2 + i]
        - ((gradient.shape[2 + i] - 1) * stride[i] - 2 * padding[i] + dilation[i] * (weight.shape[2 + i] - 1) + 1)
        for i in range(x.ndim - 2)
    ]
    found = torch.ops.aten.convolution(gradient, weight, None, stride, padding, dilation, True, lost, groups)
    return found, None, None
