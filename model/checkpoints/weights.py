"""A network's weights ↔ a safetensors file."""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from model.checkpoints.safetensors_file import TensorFileError, opened_tensors
from model.networks.without_memory import without_memory

NetworkT = TypeVar("NetworkT", bound=nn.Module)


class CheckpointError(Exception):
    """A folder that is not a usable checkpoint; the message names it and says why."""


def save_weights(path: Path, network: nn.Module) -> None:
    """In float32, by an atomic rename."""
    weights = {name: tensor.detach().float().cpu().contiguous() for name, tensor in network.state_dict().items()}
    save_tensors(path, weights)


def save_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """By an atomic rename. Raises CheckpointError where the file cannot be written, as on a full disk."""
    partial = path.with_name(path.name + ".partial")
    try:
        save_file(tensors, partial)
    except SafetensorError as error:
        partial.unlink(missing_ok=True)
        raise CheckpointError(f"{path}: cannot be written: {error}") from error
    partial.chmod(0o644)  # it is written for its owner only, and a service may run as somebody else
    partial.replace(path)


def read_weights(path: Path, most: int | None = None) -> dict[str, Tensor]:
    """Raises CheckpointError where the file cannot be read, has more than `most` bytes, or holds what is not finite."""
    with _explained(path), opened_tensors(path) as file:
        if most is not None and file.size > most:
            raise _Unfit(f"has {file.size:,} bytes: at most {most:,} are read")
        return {name: _finite(file.read(name)) for name in file.shapes}


def load_weights(path: Path, network: nn.Module) -> None:
    """The file → the network, strictly. Raises CheckpointError."""
    network.load_state_dict(_weights_for(network, path))


def network_with_weights(path: Path, build: Callable[[], NetworkT]) -> NetworkT:
    """The network that `build` makes, with the file's weights in the place of fresh ones.

    The file must fit the network before either takes memory, and the weights are in memory once: a config may describe
    a network that no machine holds. Raises CheckpointError, and whatever `build` raises.
    """
    with without_memory():
        network = build()
    weights = _weights_for(network, path)
    if any(name not in weights for name, _ in network.named_buffers()):
        network = build()  # it has tensors that it computes itself
    network.load_state_dict(weights, assign=True)
    return network


def _weights_for(network: nn.Module, path: Path) -> dict[str, Tensor]:
    """The file's weights, in the types of the network's. Raises CheckpointError where any is missing, foreign, of
    another shape, or not finite in that type."""
    with _explained(path), opened_tensors(path) as file:
        _refuse_other_tensors(file.shapes, network)
        own = network.state_dict()
        return {name: _finite(file.read(name).to(tensor.dtype)) for name, tensor in own.items()}


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Raises CheckpointError, with the reason why the file at `path` cannot be used."""
    try:
        yield
    except (OSError, TensorFileError) as error:
        raise CheckpointError(f"{path.parent.name}: cannot read {path.name}: {error}") from error
    except _Unfit as error:
        raise CheckpointError(f"{path.parent.name}: {path.name} {error}") from error


class _Unfit(Exception):
    """Tensors that are read, and cannot be used."""


def _finite(tensor: Tensor) -> Tensor:
    if not bool(torch.isfinite(tensor).all()):
        raise _Unfit("holds values that are not finite")
    return tensor


def _refuse_other_tensors(shapes: Mapping[str, tuple[int, ...]], network: nn.Module) -> None:
    own = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    missing, foreign = own.keys() - shapes.keys(), shapes.keys() - own.keys()
    wrong = {name for name in own.keys() & shapes.keys() if own[name] != shapes[name]}
    reasons = [
        f"{min(missing)} is missing" if missing else "",
        f"it has no {min(foreign)}" if foreign else "",
        f"{(name := min(wrong))} is {list(shapes[name])}, and should be {list(own[name])}" if wrong else "",
    ]
    if found := ", ".join(filter(None, reasons)):
        raise _Unfit(f"does not fit the network that config.json describes: {found}")


def fingerprint(network: nn.Module) -> str:
    """Of a network's weights, whatever file they came from: 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
