"""Labels for rows that are asked for nothing: p(x) = Σ p(y) p(x|y), so y is drawn first, and then x given y."""

from collections.abc import Sequence

import torch
from torch import Tensor

from model.noise import uniform


def drawn_labels(seeds: Tensor, shares: Sequence[float]) -> Tensor:
    """A label for each row, 0 … len(shares) − 1, int64 [rows]: a function of the row's seed and of nothing else.

    seeds   [rows] int64, 0 … 2⁶³−1
    shares  probabilities of the labels, which add up to 1; a label of probability 0 is never drawn
    """
    ends = torch.tensor(shares, dtype=torch.float64).cumsum(0)
    return torch.searchsorted((ends / ends[-1])[:-1], uniform(seeds), right=True)
