"""The nearest neighbours of points, and precision and recall by them: who has a near neighbour in the other set?

Distances of whole distributions hardly see a few strays, such as points between the arms of a spiral. These do.
"""

import torch
from torch import Tensor

from model.data import MAX_ENCODED

REAL_SHARE = 0.99  # quantile of the distances between real points up to which a point counts as near
CHUNK, REFERENCE_CHUNK = 1_000, 10_000  # points, and reference points, that are compared at a time


def distances(points: Tensor, reference: Tensor) -> Tensor:
    """The distance of each of the points [n, d] from each of the reference [m, d]: [n, m].

    Rows of a table are compared by their differences: equal ones have the distance 0, and near ones a right one however
    far they are from 0. Pixels have many more dimensions and lie around 0, so a product of matrices does.
    """
    by_differences = points.shape[1] <= MAX_ENCODED
    mode = "donot_use_mm_for_euclid_dist" if by_differences else "use_mm_for_euclid_dist_if_necessary"
    return torch.cdist(points, reference, compute_mode=mode)


def nearest_neighbour(points: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """(the distance of each of the points [n, d] from its nearest neighbour in the reference [m, d], the neighbour's
    index): [n] each. Of equally near ones it is the first."""
    found = [_nearest_of_few(chunk, reference) for chunk in torch.split(points, CHUNK)]
    return torch.cat([distance for distance, _ in found]), torch.cat([index for _, index in found])


def nearest_distance(points: Tensor, reference: Tensor) -> Tensor:
    """The distance of each of the points [n, d] from its nearest neighbour in the reference [m, d]: [n]."""
    return nearest_neighbour(points, reference)[0]


def near_shares(generated: Tensor, real: Tensor, other: Tensor) -> tuple[float, float]:
    """(precision, recall) of generated points [n, d] against real ones [n, d], with a second real set [n, d].

    precision  the share of generated points that are no farther from `real` than REAL_SHARE of `other` are
    recall     the share of `real` that are no farther from generated points than REAL_SHARE of `real` are from `other`

    Real points would have about REAL_SHARE of either.
    """
    to_real, to_other = nearest_distance(other, real), nearest_distance(real, other)
    precision = (nearest_distance(generated, real) <= to_real.quantile(REAL_SHARE)).double().mean()
    recall = (nearest_distance(real, generated) <= to_other.quantile(REAL_SHARE)).double().mean()
    return precision.item(), recall.item()


def _nearest_of_few(points: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """`nearest_neighbour` of at most CHUNK points."""
    distance, index = points.new_full((len(points),), torch.inf), points.new_zeros(len(points), dtype=torch.int64)
    for start in range(0, len(reference), REFERENCE_CHUNK):
        value, found = distances(points, reference[start : start + REFERENCE_CHUNK]).min(1)
        nearer = value < distance
        distance[nearer], index[nearer] = value[nearer], start + found[nearer]
    return distance, index
