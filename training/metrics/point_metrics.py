"""How far two clouds of points are from being draws of one distribution."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

DIRECTIONS = 200
PERMUTATIONS = 200


@dataclass(frozen=True)
class PointMetrics:
    """mmd_null is the 95th percentile of the MMD under permutations: what draws of one distribution stay below."""

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
    """`sliced_wasserstein` between the points of one label, a mean over the labels that both have (NaN: there is none).

    Far-apart classes hide each other: between whole sets, chance differences in their shares outweigh their shapes.
    """
    distances = []
    for label in b_labels.unique():
        of_a, of_b = a[a_labels == label], b[b_labels == label]
        n = min(len(of_a), len(of_b))
        if n:
            distances.append(sliced_wasserstein(of_a[:n], of_b[:n]))
    return sum(distances) / len(distances) if distances else math.nan


def spread_within_labels(a: Tensor, a_labels: Tensor, b: Tensor, b_labels: Tensor) -> float:
    """The points' root mean square distance from their label's mean, `a` over `b`, a mean over the labels of which `b`
    has a spread (NaN: there is none)."""

    def spread(points: Tensor) -> float:
        return (points - points.mean(0)).square().sum(1).mean().sqrt().item()

    pairs = [(a[a_labels == label], b[b_labels == label]) for label in b_labels.unique() if (a_labels == label).any()]
    ratios = [spread(ours) / spread(theirs) for ours, theirs in pairs if spread(theirs) > 0]
    return sum(ratios) / len(ratios) if ratios else math.nan


def mmd_and_null(a: Tensor, b: Tensor, permutations: int = PERMUTATIONS) -> tuple[float, float]:
    """(MMD, the 95th percentile of its permutation null) with a Gaussian kernel (Gretton 2012, eq. 5).

    The biased estimate; bandwidth: the median distance of the pooled points. [n, d] both.
    """
    n = len(a)
    pooled = torch.cat([a, b])
    squared = torch.cdist(pooled, pooled).square()
    bandwidth2 = squared[:1000].flatten()[:: max(1, squared[:1000].numel() // 1_000_000)].median()
    kernel = torch.exp(-squared / (2 * bandwidth2))
    generator = torch.Generator().manual_seed(0)
    signs = torch.ones(2 * n)
    signs[n:] = -1
    order = torch.stack([torch.randperm(2 * n, generator=generator) for _ in range(permutations)], dim=1)
    split = torch.cat([signs.unsqueeze(1), signs[order]], dim=1)  # the true split first
    squares = (split * (kernel @ split)).sum(0) / n**2
    mmd = squares.clamp(min=0).sqrt()
    return mmd[0].item(), mmd[1:].quantile(0.95).item()


def energy_distance(a: Tensor, b: Tensor) -> float:
    """√(2E|x−y| − E|x−x'| − E|y−y'|) (Székely & Rizzo 2013)."""
    squared = 2 * torch.cdist(a, b).mean() - torch.cdist(a, a).mean() - torch.cdist(b, b).mean()
    return squared.clamp(min=0).sqrt().item()


def point_metrics(generated: Tensor, real: Tensor) -> PointMetrics:
    """Figures of n generated points against n real ones. [n, d] each."""
    mmd, null = mmd_and_null(generated, real)
    return PointMetrics(
        sliced_wasserstein=sliced_wasserstein(generated, real),
        mmd=mmd,
        mmd_null=null,
        energy=energy_distance(generated, real),
    )


def nearest_label_accuracy(generated: Tensor, asked: Tensor, real: Tensor, real_labels: Tensor) -> float:
    """Share of points [n, d] whose nearest of the real ones [m, d] has the label that was asked for, [n] and [m]."""
    nearest = torch.cdist(generated, real).argmin(1)
    return (real_labels[nearest] == asked).double().mean().item()
