"""Labels or clusters of rows that are asked for nothing: p(x) = Σ p(y) p(x|y), so y is drawn first, then x given y."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from model.conditions import NO_LABEL, Conditions
from model.noise import uniform


def drawn_labels(seeds: Tensor, shares: Sequence[float]) -> Tensor:
    """A label for each row, 0 … len(shares) − 1, int64 [rows]: a function of the row's seed and of nothing else.

    seeds   [rows] int64, 0 … 2⁶³−1
    shares  probabilities of the labels, which add up to 1; a label of probability 0 is never drawn
    """
    ends = torch.tensor(shares, dtype=torch.float64).cumsum(0)
    return torch.searchsorted((ends / ends[-1])[:-1], uniform(seeds), right=True)


def in_drawn_clusters(conditions: Conditions, seeds: Tensor, shares: Sequence[float]) -> Conditions:
    """The same rows, each in the cluster that its seed draws, without guidance; a row with a label keeps it.

    seeds, shares  as in `drawn_labels`, of the clusters
    """
    free = conditions.label == NO_LABEL
    return replace(
        conditions,
        label=torch.where(free, drawn_labels(seeds, shares), conditions.label),
        guidance_scale=torch.where(free, 1.0, conditions.guidance_scale),
    )
