"""The rows that a checkpoint was trained on, kept beside its weights, and how near to one a copy is."""

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from model.checkpoints.weights import CheckpointError, read_weights, save_tensors
from model.data import DataConfig
from model.nearest import nearest

TRAINING_ROWS = "training_rows.safetensors"


@dataclass(frozen=True, eq=False)
class TrainingRows:
    """rows       [n, …] in the data's own units: uint8 images, float32 or float64 points; with mirror images, where
               the training had them
    threshold  the distance below which a row counts as a copy: the root mean square difference from the nearest
               training row, in the network's range
    """

    rows: Tensor
    threshold: float

    @property
    def key(self) -> str:
        """Equal where the same rows are copies."""
        digest = hashlib.sha256(f"{self.threshold} {self.rows.dtype} ".encode())
        digest.update(self.rows.contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def distinct(self, rows: Tensor, data: DataConfig) -> Tensor:
        """Which rows [n, …] in the data's own units are no copies: bool [n]."""
        return nearest(rows, self.rows, data).distance >= self.threshold


def save_training_rows(folder: Path, kept: TrainingRows) -> None:
    """By an atomic rename."""
    threshold = torch.tensor([kept.threshold], dtype=torch.float64)
    save_tensors(folder / TRAINING_ROWS, {"rows": kept.rows.contiguous(), "threshold": threshold})


def load_training_rows(folder: Path, data: DataConfig) -> TrainingRows | None:
    """None where the folder has none. Raises CheckpointError where they are broken, or of other data."""
    if not (folder / TRAINING_ROWS).is_file():
        return None
    tensors = read_weights(folder / TRAINING_ROWS)
    rows, threshold = tensors.get("rows"), tensors.get("threshold")
    dtypes = (torch.uint8,) if data.kind == "images" else (torch.float32, torch.float64)
    if (
        rows is not None
        and threshold is not None
        and rows.dtype in dtypes
        and rows.shape[1:] == torch.Size(data.shape)
        and len(rows) > 0
        and threshold.shape == (1,)
        and math.isfinite(threshold.item())
        and threshold.item() > 0
    ):
        return TrainingRows(rows, threshold.item())
    raise CheckpointError(
        f"{folder.name}: {TRAINING_ROWS} does not hold rows of {data.dataset} and a threshold; delete it, or make it "
        "again with `python -m training training-rows`"
    )
