"""What the trainer asks of data."""

from typing import Protocol

import torch
from torch import Tensor

from model.data import DataConfig


class TrainingSet(Protocol):
    """Rows in the data's own units, drawn by a generator: the same generator, the same rows."""

    config: DataConfig

    def draw(self, rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """(data float32 [rows, *shape], labels int64 [rows], or traits [rows, …] where the set has captions)"""
        ...
