"""Targets of less variance: what a whole batch says of x0 given x_t, and not what one row happens to be.

A row's own x0 is an unbiased target of E[x0|x_t] and a noisy one. Where its neighbours in the batch are as likely to
have become x_t, their mean by that likelihood is steadier (Xu 2023, eq. 7). Between two curves a network has to decide
between them, and there the row's own x0 is a coin toss.
"""

import torch
from torch import Tensor

from model.conditions import NO_LABEL
from model.prediction import per_row

WIDE_SHARE = 0.3  # of the rows, which have wider noise


def posterior_mean(x_t: Tensor, x0: Tensor, alpha_bar: Tensor, condition: Tensor, labels: Tensor) -> Tensor:
    """E[x0|x_t, condition] if the batch's rows were all the data: Σ_j w_ij x0_j, w_ij ∝ q(x_t,i|x0_j). [rows, d].

    x_t, x0    [rows, d], standardised
    alpha_bar  [rows], below 1
    condition  [rows] int64, the label that a row is conditioned on, or NO_LABEL
    labels     [rows] int64, the rows' own labels: only rows of the label count for a row that is conditioned on one
    """
    alpha_bar = per_row(alpha_bar, x0)
    squares = x0.square().sum(1)
    with torch.autocast(x0.device.type, enabled=False):  # bfloat16 errs by more than a small noise
        log_likelihood = (alpha_bar.sqrt() * (x_t @ x0.T) - alpha_bar * squares / 2) / (1 - alpha_bar)
        other = (condition.unsqueeze(1) != NO_LABEL) & (condition.unsqueeze(1) != labels)
        return torch.softmax(log_likelihood.masked_fill(other, -torch.inf), dim=1) @ x0


def noise_width(rows: int, most: float, generator: torch.Generator) -> Tensor:
    """[rows]: 1 for most rows, and evenly spread in 1 … most for about WIDE_SHARE of them.

    E[x0|x_t] may be learned from any x_t, also from those that diffusion hardly ever makes. A sampler's errors lead
    there: a row that is between two curves when the noise is small would stay there.
    """
    wide = torch.rand(rows, generator=generator) < WIDE_SHARE
    return torch.where(wide, 1 + (most - 1) * torch.rand(rows, generator=generator), 1.0)
