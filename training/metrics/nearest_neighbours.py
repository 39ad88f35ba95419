"""Precision and recall of points: which points have a near neighbour in the other set?

Distances of whole distributions hardly see a few strays, such as points between the arms of a spiral. These do.
"""

import torch
from torch import Tensor

NEAR = 0.99  # quantile of the distances between real points up to which a point counts as near
CHUNK = 1_000  # points that are compared at a time


def nearest_distance(points: Tensor, reference: Tensor) -> Tensor:
    """The distance of each of the points [n, d] from its nearest neighbour in the reference [m, d]: [n]."""
    return torch.cat([torch.cdist(chunk, reference).amin(1) for chunk in torch.split(points, CHUNK)])


def precision_recall(generated: Tensor, real: Tensor, other: Tensor) -> tuple[float, float]:
    """(precision, recall) of generated points [n, d] against real ones [n, d], with a second real set [n, d].

    precision  the share of generated points that are no farther from `real` than NEAR of `other` are
    recall     the share of `real` that are no farther from generated points than NEAR of `real` are from `other`

    Real points would have about NEAR of either.
    """
    to_real, to_other = nearest_distance(other, real), nearest_distance(real, other)
    precision = (nearest_distance(generated, real) <= to_real.quantile(NEAR)).double().mean()
    recall = (nearest_distance(real, generated) <= to_other.quantile(NEAR)).double().mean()
    return precision.item(), recall.item()
