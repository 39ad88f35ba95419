"""A checkpoint is a folder, config.json beside model.safetensors ↔ a network and its meaning.

A checkpoint explains itself: nothing is guessed from a file's name, and nothing is unpickled.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal

import torch
from torch import nn

from model.checkpoints.config import CheckpointConfig, DiffusionConfig, NetworkT, save_config
from model.checkpoints.reference_points import Reference, save_reference
from model.checkpoints.training_rows import TRAINING_ROWS
from model.checkpoints.weights import CheckpointError, load_weights, save_weights
from model.data import DataConfig
from model.noise_schedule import NoiseSchedule
from model.text_encoder import TextEncoder

WEIGHTS = "model.safetensors"
GRAPH = "graph.onnx"
INT8_GRAPH = "graph.int8.onnx"
TorchPrecision = Literal["float32", "bfloat16"]
Precision = Literal["float32", "bfloat16", "int8"]
"""int8 is for ONNX Runtime alone: the network's convolutions in 8-bit integers, everything else in float32."""

_DTYPES: Mapping[TorchPrecision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, eq=False)
class Checkpoint(Generic[NetworkT]):
    """A loaded checkpoint: its config, its schedule, and its network in float32 on the CPU.

    graph  the bytes of the folder's ONNX graph, unchecked; None where there is none (see `model.backends`)
    """

    config: DiffusionConfig[NetworkT]
    schedule: NoiseSchedule
    network: NetworkT
    graph: bytes | None = field(default=None, kw_only=True)

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def data(self) -> DataConfig:
        return self.config.data

    @property
    def metrics(self) -> Mapping[str, Any]:
        return self.config.metrics

    def network_on(self, device: torch.device | str, precision: TorchPrecision = "float32") -> NetworkT:
        """A copy of the network for inference, on a device, in a precision."""
        network = self.config.build_network()
        network.load_state_dict(self.network.state_dict())
        network.to(device, _DTYPES[precision]).to(memory_format=torch.channels_last)
        return network.eval().requires_grad_(False)


def load_network(folder: Path, config: CheckpointConfig[NetworkT]) -> NetworkT:
    """The network that `config` describes, with the folder's weights.

    Raises CheckpointError where the weights are missing, cut short, of another shape or not finite, or where the
    network is of a library that is not installed.
    """
    try:
        network = config.build_network()
    except ValueError as error:
        raise CheckpointError(f"{folder.name}: config.json: {error}") from error
    load_weights(folder / WEIGHTS, network)
    return network.eval()


def read_graph(folder: Path, name: str = GRAPH) -> bytes | None:
    """The folder's ONNX graph, unchecked. Raises CheckpointError where there is one that cannot be read."""
    try:
        return (folder / name).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CheckpointError(f"{folder.name}: cannot read {name}: {error}") from error


def save_checkpoint(
    folder: Path,
    config: CheckpointConfig[nn.Module],
    network: nn.Module,
    text: TextEncoder | None = None,
    reference: Reference | None = None,
) -> None:
    """Write the folder. The weights come first and config.json last, each by an atomic rename."""
    folder.mkdir(parents=True, exist_ok=True)
    for graph in (GRAPH, INT8_GRAPH):
        (folder / graph).unlink(missing_ok=True)  # of other weights
    (folder / TRAINING_ROWS).unlink(missing_ok=True)  # of another training
    save_weights(folder / WEIGHTS, network)
    if text is not None:
        text.save(folder)
    if reference is not None:
        save_reference(folder, reference)
    save_config(folder, config)
