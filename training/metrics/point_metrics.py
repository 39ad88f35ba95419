"""Distances between two sets of points: are they samples of one distribution?"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training.metrics.nearest_neighbours import distances, nearest_neighbour

DIRECTIONS = 200
PERMUTATIONS = 200


@dataclass(frozen=True)
class PointMetrics:
    """All in the units of the points.

    mmd_null  the 95th percentile of the MMD under permutations: samples of one distribution stay below it
    """

    sliced_wasserstein: float
    mmd: float
    mmd_null: float
    energy: float


def sliced_wasserstein(a: Tensor, b: Tensor, directions: int = DIRECTIONS) -> float:
    """Mean over random directions of the 1-Wasserstein distance of the projections (Bonneel 2015). [n, d] both."""
    generator = torch.Generator().manual_seed(0)
    unit = torch.nn.functional.normalize(torch.randn(directions, a.shape[1], generator=generator), dim=1)
    return ((a @ unit.T).sort(0).values - (b @ unit.T).sort(0).values).abs().mean().item()


def sliced_wasserstein_within_labels(a: Tensor, a_labels: Tensor, b: Tensor, b_labels: Tensor) -> float:
    """The mean of `sliced_wasserstein` within one label, over the labels that both have; NaN if they share none.

    a, b                [n, d] and [m, d]
    a_labels, b_labels  [n] and [m] int64

    Whole sets of far-apart classes differ most by chance differences in the classes' shares; this metric ignores them.
    """
    distances = []
    for label in _distinct(b_labels):
        a_points, b_points = a[a_labels == label], b[b_labels == label]
        n = min(len(a_points), len(b_points))
        if n:
            distances.append(sliced_wasserstein(a_points[:n], b_points[:n]))
    return sum(distances) / len(distances) if distances else math.nan


def spread_within_labels(a: Tensor, a_labels: Tensor, b: Tensor, b_labels: Tensor) -> float:
    """The spread of `a` over the spread of `b` within one label, as a mean over labels; NaN if no label counts.

    A spread is the root mean square distance of points from their mean. A label counts if both have it, and b's spread
    is not 0. Shapes as in `sliced_wasserstein_within_labels`.
    """

    def spread(points: Tensor) -> float:
        return (points - points.mean(0)).square().sum(1).mean().sqrt().item()

    shared = [label for label in _distinct(b_labels) if (a_labels == label).any()]
    pairs = [(spread(a[a_labels == label]), spread(b[b_labels == label])) for label in shared]
    ratios = [ours / theirs for ours, theirs in pairs if theirs > 0]
    return sum(ratios) / len(ratios) if ratios else math.nan


def _distinct(labels: Tensor) -> list[int]:
    """The labels that occur, sorted."""
    found: list[int] = np.unique(labels.numpy()).tolist()
    return found


def mmd_and_null(a: Tensor, b: Tensor, permutations: int = PERMUTATIONS) -> tuple[float, float]:
    """(the MMD, the 95th percentile of its permutation null) with a Gaussian kernel (Gretton 2012, eq. 5).

    The biased estimate. The bandwidth is the median distance between pooled points; if most of them are equal, the
    median of the distances that are not 0. [n, d] both.
    """
    n = len(a)
    pooled = torch.cat([a, b])
    squared = distances(pooled, pooled).square_()
    bandwidth2 = _bandwidth2(squared[:1000].flatten()[:: max(1, squared[:1000].numel() // 1_000_000)])
    kernel = squared.neg_().div_(2 * bandwidth2).exp_()  # in place: it has 16 million entries and more
    generator = torch.Generator().manual_seed(0)
    signs = torch.ones(2 * n)
    signs[n:] = -1
    order = torch.stack([torch.randperm(2 * n, generator=generator) for _ in range(permutations)], dim=1)
    split = torch.cat([signs.unsqueeze(1), signs[order]], dim=1)  # the true split first
    squares = (split * (kernel @ split)).sum(0) / n**2
    mmd = squares.clamp(min=0).sqrt()
    return mmd[0].item(), mmd[1:].quantile(0.95).item()


def _bandwidth2(squared: Tensor) -> Tensor:
    """The median of squared distances, or of those above 0 if it is 0; any number above 0 if all distances are 0."""
    median = squared.median()
    if median > 0:
        return median
    positive = squared[squared > 0]
    return positive.median() if len(positive) else torch.ones_like(median)


def energy_distance(a: Tensor, b: Tensor) -> float:
    """√(2E|x−y| − E|x−x'| − E|y−y'|) (Székely & Rizzo 2013)."""
    squared = 2 * distances(a, b).mean() - distances(a, a).mean() - distances(b, b).mean()
    return squared.clamp(min=0).sqrt().item()


def point_metrics(generated: Tensor, real: Tensor) -> PointMetrics:
    """The metrics of n generated points against n real ones. [n, d] each."""
    mmd, null = mmd_and_null(generated, real)
    return PointMetrics(
        sliced_wasserstein=sliced_wasserstein(generated, real),
        mmd=mmd,
        mmd_null=null,
        energy=energy_distance(generated, real),
    )


def nearest_label_accuracy(generated: Tensor, labels: Tensor, real: Tensor, real_labels: Tensor) -> float:
    """The share of generated points whose nearest real point has the requested label.

    generated, labels  [n, d] and [n]: the points, and the labels that were requested
    real, real_labels  [m, d] and [m]
    """
    _, nearest = nearest_neighbour(generated, real)
    return (real_labels[nearest] == labels).double().mean().item()
