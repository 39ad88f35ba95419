"""Targets of less variance: what many rows say of x0 given x_t, and not what one row happens to be.

A row's own x0 is an unbiased target of E[x0|x_t] and a noisy one. Where other rows are as likely to have become x_t,
their mean by that likelihood is steadier (Xu 2023, eq. 7). Between two curves a network has to decide between them, and
there the row's own x0 is a coin toss. Of images the same holds in strong noise, where it is decided what they show.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from model.conditions import NO_LABEL
from model.prediction import per_row
from training.data.training_set import FiniteSet, TrainingSet, as_floats, some_rows, unchanged
from training.metrics.nearest_neighbours import distances

WIDE_SHARE = 0.3  # of the rows, which have wider noise
ASKED = 256  # rows whose nearest neighbours say how far apart rows lie
CERTAIN = 6.0  # rows so many σ apart are seldom taken for each other: the log likelihoods differ by 18 ± 6


@dataclass(frozen=True, eq=False)
class KnownRows:
    """Rows that x_t may come from.

    rows     float32 [n, d], standardised
    labels   [n] int64
    squares  [n], ‖row‖²
    least_noise  σ below which x_t has nearly always come from the row that it was made of; 0 asks for every row
    """

    rows: Tensor
    labels: Tensor
    squares: Tensor
    least_noise: float = 0.0

    @classmethod
    def of(cls, rows: Tensor, labels: Tensor, least_noise: float = 0.0) -> "KnownRows":
        """rows  [n, …], standardised"""
        flat = rows.flatten(1)
        return cls(flat, labels, flat.square().sum(1), least_noise)

    def to(self, device: torch.device) -> "KnownRows":
        rows, labels, squares = (part.to(device) for part in (self.rows, self.labels, self.squares))
        return KnownRows(rows, labels, squares, self.least_noise)


def all_rows(data: TrainingSet) -> KnownRows | None:
    """Every training image; None where they are augmented, and of points: then a batch's own rows have to do.

    A batch of points is large, and rows in wide noise have no x0 of their own to keep.
    """
    if not isinstance(data, FiniteSet) or data.augment is not unchanged or data.config.kind == "points":
        return None
    labels = data.examples.labels if data.clusters is None else data.clusters
    rows = data.config.standardise(as_floats(data.examples.rows)).float().flatten(1)
    asked = some_rows(rows, ASKED)
    apart = distances(asked, rows).kthvalue(min(2, len(rows)), dim=1).values  # the nearest is the row itself
    return KnownRows.of(rows, labels, apart.median().item() / CERTAIN)


def posterior_mean(x_t: Tensor, alpha_bar: Tensor, condition: Tensor, known: KnownRows) -> Tensor:
    """E[x0|x_t, condition] if the known rows were all the data: Σ_j w_ij row_j, w_ij ∝ q(x_t,i|row_j). As x_t.

    x_t        [rows, …], standardised
    alpha_bar  [rows], below 1
    condition  [rows] int64, the label that a row is conditioned on: only rows of that label count; or NO_LABEL
    """
    flat = x_t.flatten(1)
    alpha_bar = per_row(alpha_bar, flat)
    with torch.autocast(x_t.device.type, enabled=False):  # bfloat16 errs by more than a small noise
        likeness = alpha_bar.sqrt() * (flat @ known.rows.T) - alpha_bar * known.squares / 2
        other = (condition.unsqueeze(1) != NO_LABEL) & (condition.unsqueeze(1) != known.labels)
        weights = torch.softmax((likeness / (1 - alpha_bar)).masked_fill(other, -torch.inf), dim=1)
        return (weights @ known.rows).view_as(x_t)


def stable_x0(x_t: Tensor, x0: Tensor, alpha_bar: Tensor, condition: Tensor, known: KnownRows) -> Tensor:
    """The posterior mean of rows in enough noise to be another's; the others keep their own x0."""
    asked = (1 - alpha_bar) >= known.least_noise**2 * alpha_bar
    if asked.all():
        return posterior_mean(x_t, alpha_bar, condition, known)
    x0 = x0.clone()
    x0[asked] = posterior_mean(x_t[asked], alpha_bar[asked], condition[asked], known)
    return x0


def noise_width(rows: int, most: float, generator: torch.Generator) -> Tensor:
    """[rows]: 1 for most rows, and evenly spread in 1 … most for about WIDE_SHARE of them.

    E[x0|x_t] may be learned from any x_t, also from those that diffusion hardly ever makes. A sampler's errors lead
    there: a row that is between two curves when the noise is small would stay there.
    """
    wide = torch.rand(rows, generator=generator) < WIDE_SHARE
    return torch.where(wide, 1 + (most - 1) * torch.rand(rows, generator=generator), 1.0)
