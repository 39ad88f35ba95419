"""A checkpoint is a folder, config.json beside model.safetensors ↔ a network and its meaning.

A checkpoint explains itself: nothing is guessed from a file's name, and nothing is unpickled.
"""

import copy
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, Literal, Self

import torch
from torch import nn

from model.checkpoints.config import CheckpointConfig, DiffusionConfig, NetworkT, save_config
from model.checkpoints.reference_points import Reference, save_reference
from model.checkpoints.training_rows import TRAINING_ROWS
from model.checkpoints.weights import CheckpointError, fingerprint, network_with_weights, save_weights
from model.data import DataConfig
from model.networks.without_memory import without_memory
from model.noise_schedule import NoiseSchedule
from model.text_encoder import TextEncoder

WEIGHTS = "model.safetensors"
GRAPH = "graph.onnx"
INT8_GRAPH = "graph.int8.onnx"
MAX_GRAPH_BYTES = 64 << 20  # of nodes and constants, besides weights
TorchPrecision = Literal["float32", "bfloat16"]
Precision = Literal["float32", "bfloat16", "int8"]
"""int8 is for ONNX Runtime alone: the network's convolutions in 8-bit integers, everything else in float32."""

_DTYPES: Mapping[TorchPrecision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class OnDisk:
    """A checkpoint whose tensors are not in memory: where they are, and what they are.

    fingerprint  of the network's weights
    identity     of everything that computes
    """

    folder: Path
    fingerprint: str
    identity: str


@dataclass(frozen=True, eq=False)
class Checkpoint(Generic[NetworkT]):
    """A loaded checkpoint: its config, its schedule, and its network in float32 on the CPU.

    graph    the bytes of the folder's ONNX graph, unchecked; None where there is none (see `model.backends`)
    on_disk  where the weights and graphs are, if not here; the network is then on PyTorch's meta device, without memory
    """

    config: DiffusionConfig[NetworkT]
    schedule: NoiseSchedule
    network: NetworkT
    graph: bytes | None = field(default=None, kw_only=True)
    on_disk: OnDisk | None = field(default=None, kw_only=True)

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def data(self) -> DataConfig:
        return self.config.data

    @property
    def metrics(self) -> Mapping[str, Any]:
        return self.config.metrics

    @cached_property
    def fingerprint(self) -> str:
        """Of the network's weights. A loaded checkpoint's do not change, so they are hashed once."""
        return fingerprint(self.network) if self.on_disk is None else self.on_disk.fingerprint

    @cached_property
    def identity(self) -> str:
        """Equal for two whose networks and graphs are: 64 hexadecimal digits. The config does not count."""
        if self.on_disk is not None:
            return self.on_disk.identity
        digest = hashlib.sha256()
        for part in self._what_computes():
            digest.update(hashlib.sha256(part).digest())
        return digest.hexdigest()

    @property
    def weight_bytes(self) -> int:
        """Of the network's weights, in float32."""
        return int(4 * sum(tensor.numel() for tensor in self.network.state_dict().values()))

    def left_on_disk(self, folder: Path) -> Self:
        """The same without the weights and graphs that stand in the folder: `with_weights` reads them again."""
        with without_memory():
            network = self.config.build_network()
        on_disk = OnDisk(folder, self.fingerprint, self.identity)
        graphs: dict[str, Any] = dict.fromkeys(self._graphs())
        return replace(self, network=network, on_disk=on_disk, **graphs)

    def with_weights(self) -> Self:
        """The same with its weights and graphs in memory. Raises CheckpointError where others stand there by now."""
        if self.on_disk is None:
            return self
        folder = self.on_disk.folder
        graphs: dict[str, Any] = {name: read_graph(folder, file) for name, file in self._graphs().items()}
        found = replace(self, network=load_network(folder, self.config), on_disk=None, **graphs)
        if found.identity != self.on_disk.identity:
            raise CheckpointError(f"{folder.name}: it has changed since it was read")
        return found

    def _graphs(self) -> Mapping[str, str]:
        """The files of its graphs, by the fields that hold them."""
        return {"graph": GRAPH}

    def _what_computes(self) -> list[bytes]:
        """The network's fingerprint, and graphs."""
        return [self.fingerprint.encode(), self.graph or b""]

    def network_on(self, device: torch.device | str, precision: TorchPrecision = "float32") -> NetworkT:
        """A copy of the network for inference, on a device, in a precision."""
        network = copy.deepcopy(self.network)
        network.to(device, _DTYPES[precision]).to(memory_format=torch.channels_last)
        return network.eval().requires_grad_(False)


def load_network(folder: Path, config: CheckpointConfig[NetworkT]) -> NetworkT:
    """The network that `config` describes, with the folder's weights.

    Raises CheckpointError where the weights are missing, cut short, of another shape or not finite, or where the
    network is of a library that is not installed.
    """
    try:
        network = network_with_weights(folder / WEIGHTS, config.build_network)
    except (ValueError, OverflowError, RuntimeError) as error:  # the last two: sizes that PyTorch cannot count
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"{folder.name}: config.json: {reason}") from error
    return network.eval()


def read_graph(folder: Path, name: str = GRAPH) -> bytes | None:
    """The folder's ONNX graph, unchecked.

    Raises CheckpointError where there is one that cannot be read, or is much larger than the weights: it refers to
    them, or has them in integers.
    """
    try:
        size, largest = (folder / name).stat().st_size, (folder / WEIGHTS).stat().st_size + MAX_GRAPH_BYTES
        if size > largest:
            raise CheckpointError(f"{folder.name}: {name} has {size:,} bytes: at most {largest:,} are read")
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
