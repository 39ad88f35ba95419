"""A network's weights ↔ a safetensors file."""

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor, nn


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


def read_weights(path: Path) -> dict[str, Tensor]:
    """Raises CheckpointError where the file cannot be read, or holds what is not finite.

    The bytes are read, not mapped: a file that is written over meanwhile would end the process (SIGBUS).
    """
    try:
        weights = load(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path.parent.name}: cannot read {path.name}: {error}") from error
    if not all(bool(torch.isfinite(tensor).all()) for tensor in weights.values()):
        raise CheckpointError(f"{path.parent.name}: {path.name} holds values that are not finite")
    return weights


def load_weights(path: Path, network: nn.Module) -> None:
    """The file → the network, strictly. Raises CheckpointError."""
    weights = read_weights(path)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(
            f"{path.parent.name}: {path.name} does not fit the network that config.json describes: "
            f"{str(error).splitlines()[-1].strip()}"
        ) from error


def fingerprint(network: nn.Module) -> str:
    """Of a network's weights, whatever file they came from: 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
