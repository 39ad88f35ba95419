"""A few real points, kept beside a checkpoint's weights to compare its samples with."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from model.checkpoints.weights import CheckpointError, read_weights, save_tensors
from model.conditions import NO_LABEL
from model.data import DataConfig

REFERENCE = "reference.safetensors"
MAX_REFERENCE = 2_000  # rows
MAX_REFERENCE_BYTES = 8 << 20  # more than these rows have


@dataclass(frozen=True, eq=False)
class Reference:
    """points: float32 or float64 [n, d] in the data's own units; labels: int64 [n], NO_LABEL where there is no class.

    A network that reads no labels may have points with classes, which then have no names.
    """

    points: Tensor
    labels: Tensor


def save_reference(folder: Path, reference: Reference) -> None:
    """By an atomic rename."""
    tensors = {"points": reference.points.contiguous(), "labels": reference.labels.contiguous()}
    save_tensors(folder / REFERENCE, tensors)


def load_reference(folder: Path, data: DataConfig) -> Reference | None:
    """None where the folder has none. Raises CheckpointError where it is broken, or of other data."""
    if not (folder / REFERENCE).is_file():
        return None
    tensors = read_weights(folder / REFERENCE, MAX_REFERENCE_BYTES)
    points, labels = tensors.get("points"), tensors.get("labels")
    if (
        points is not None
        and labels is not None
        and tensors.keys() == {"points", "labels"}
        and points.dtype == (torch.float64 if data.needs_float64 else torch.float32)
        and labels.dtype == torch.int64
        and data.kind == "points"
        and labels.dim() == 1
        and points.shape == (len(labels), *data.shape)
        and 1 <= len(labels) <= MAX_REFERENCE
        and labels.min() >= NO_LABEL
        and (not data.labels or labels.max() < len(data.labels))
    ):
        return Reference(points, labels)
    raise CheckpointError(
        f"{folder.name}: {REFERENCE} does not hold 1 … {MAX_REFERENCE:,} points of {data.dataset} and their "
        "labels; delete it, or make it again with `python -m training reference`"
    )
