"""Folders that a command will write to, checked before it computes anything."""

import shutil
import tempfile
from pathlib import Path

from torch import nn

from training.recipe import RecipeError

STATE = 4 * 4  # bytes for each parameter: weights, their average, and two moments of AdamW, all float32
SPARE = 2**20  # bytes for logs, pictures and the checkpoint's config


def need_writable(folder: Path, option: str) -> None:
    """Make the folder if it is missing. Raises RecipeError if nothing can be written there.

    option  gives another folder
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"0")
    except OSError as error:
        raise RecipeError(f"{folder}: nothing can be written there ({error.strerror}): {option}") from error


def need_space(runs: Path, checkpoints: Path, network: nn.Module, kept: int = 0) -> None:
    """Raises RecipeError if a run's states, so many kept checkpoints, or its own do not fit on their disks.

    A new state is written beside the old one, which is then deleted.
    """
    parameters = sum(parameter.numel() for parameter in network.parameters())
    _need_bytes(runs, 2 * STATE * parameters + kept * _checkpoint_bytes(network), "--runs")
    need_space_of_checkpoint(checkpoints, network)


def need_space_of_checkpoint(checkpoints: Path, network: nn.Module) -> None:
    """Raises RecipeError if the network's checkpoint does not fit on the disk."""
    _need_bytes(checkpoints, _checkpoint_bytes(network), "--checkpoints")


def _checkpoint_bytes(network: nn.Module) -> int:
    numbers: int = sum(tensor.numel() for tensor in network.state_dict().values())
    return 4 * numbers


def _need_bytes(folder: Path, needed: int, option: str) -> None:
    needed, free = needed + SPARE, shutil.disk_usage(folder).free
    if free < needed:
        raise RecipeError(
            f"{folder}: {needed / 2**20:,.0f} MB are needed there and {free / 2**20:,.0f} MB are free: make room, "
            f"or give a folder on another disk by {option}"
        )
