"""The nearest training row of each sample: what is too near may be a copy."""

from dataclasses import dataclass

import torch
from torch import Tensor

from model.data import DataConfig

CHUNK = 2_000  # training rows that are compared at a time


@dataclass(frozen=True, eq=False)
class Nearest:
    """Rows and the nearest training row of each.

    rows        [n, …] in the data's own units, float32 or float64
    distance    [n], the root mean square difference of the pair in the network's range (images: −1 … 1)
    neighbours  [n, …] the training rows
    """

    rows: Tensor
    distance: Tensor
    neighbours: Tensor

    def closest(self, n: int) -> tuple[Tensor, Tensor]:
        """(the n rows that are nearest to a training row, these training rows)"""
        order = self.distance.argsort()[:n]
        return self.rows[order], self.neighbours[order]


def nearest(rows: Tensor, training: Tensor, data: DataConfig, *, mirrored: bool = False) -> Nearest:
    """The nearest training row of each row.

    rows, training  [n, …] and [m, …] in the data's own units
    mirrored        the mirror images of `training` count too
    """
    rows = _as_floats(rows)
    standardised = data.standardise(rows).flatten(1)
    squares = standardised.square().sum(1, keepdim=True)
    best, neighbours = torch.full((len(rows),), torch.inf), torch.zeros_like(rows)
    for chunk in torch.split(training, CHUNK):
        for view in (chunk, chunk.flip(-1)) if mirrored else (chunk,):
            candidates = data.standardise(_as_floats(view)).flatten(1)
            value, index = (squares - 2 * standardised @ candidates.T + candidates.square().sum(1)).min(1)
            nearer = value < best
            best[nearer], neighbours[nearer] = value[nearer], view[index[nearer]].to(rows.dtype)
    # Once more, from the differences: the products above lose small distances to rounding.
    distance = (standardised - data.standardise(neighbours).flatten(1)).square().mean(1).sqrt()
    return Nearest(rows, distance, neighbours)


def _as_floats(rows: Tensor) -> Tensor:
    return rows if rows.is_floating_point() else rows.float()
