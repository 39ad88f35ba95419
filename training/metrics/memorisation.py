"""Are samples copies of what was trained on? How near the nearest training row is: to samples, and to real rows that
were never trained on."""

from dataclasses import dataclass

import torch
from torch import Tensor

from model.data import DataConfig
from training.data.training_set import TrainingSet, some_rows
from training.evaluate.measurement import Metrics, rounded

CHECKED = 2_000  # samples, and held-out rows, at most
PAIRS = 10  # nearest ones that are shown
CHUNK = 2_000  # training rows that are compared at a time
NEAR = 0.01  # quantile of the held-out rows' distances: what is nearer is suspicious


@dataclass(frozen=True, eq=False)
class Nearest:
    """Rows, and of each its nearest training row and how far that is: the root mean square of their difference, as the
    network sees them (of images, 1 is the whole range from the middle)."""

    rows: Tensor
    distance: Tensor
    twins: Tensor

    def closest(self, n: int) -> tuple[Tensor, Tensor]:
        """(the n rows that are nearest to a training row, those)"""
        order = self.distance.argsort()[:n]
        return self.rows[order], self.twins[order]


@dataclass(frozen=True, eq=False)
class Memorisation:
    metrics: Metrics
    samples: Nearest
    held_out: Nearest


def memorisation(samples: Tensor, data: TrainingSet, *, mirrored: bool = False) -> Memorisation | None:
    """Of samples [n, …] in the data's own units, as many as are checked. None where rows are drawn without end: then
    there is nothing to be remembered.

    mirrored  training images were mirrored as well, so their mirror images count too

    What remembers nothing has distances like those of real rows, and as many nearer ones as by chance.
    """
    if data.examples is None:
        return None
    real = data.held_out.some(CHECKED).rows
    few = some_rows(samples, CHECKED)
    made, held_out = (nearest(rows, data.examples.rows, data.config, mirrored=mirrored) for rows in (few, real))
    near = held_out.distance.quantile(NEAR)
    metrics: Metrics = {"samples": len(made.rows), "held_out": len(real), "trained_on": len(data.examples)}
    for name, of in (("nearest_training", made), ("nearest_training_of_real", held_out)):
        metrics[name] = rounded(of.distance.median().item())
        metrics[f"{name}_first_percentile"] = rounded(of.distance.quantile(NEAR).item())
    metrics["nearer_than_real"] = rounded((made.distance < near).double().mean().item())
    metrics["nearer_than_real_by_chance"] = rounded(_by_chance(len(real)))
    return Memorisation(metrics, made, held_out)


def _by_chance(held_out: int) -> float:
    """The expected share of fresh real rows below the quantile NEAR of so many others.

    k of n that are sorted have k / (n + 1) of all below them in the mean (order statistics of the uniform
    distribution), and the quantile lies at k = 1 + NEAR (n − 1): of few rows that is much more than NEAR.
    """
    return (1 + NEAR * (held_out - 1)) / (held_out + 1)


def nearest(rows: Tensor, training: Tensor, data: DataConfig, *, mirrored: bool = False) -> Nearest:
    """rows [n, …] and training [m, …] in the data's own units."""
    seen = data.standardise(rows.float()).flatten(1)
    squares = seen.square().sum(1, keepdim=True)
    best, twins = torch.full((len(rows),), torch.inf), torch.zeros_like(rows, dtype=torch.float32)
    for chunk in training.split(CHUNK):
        for view in (chunk, chunk.flip(-1)) if mirrored else (chunk,):
            known = data.standardise(view.float()).flatten(1)
            value, index = (squares - 2 * seen @ known.T + known.square().sum(1)).min(1)
            nearer = value < best
            best[nearer], twins[nearer] = value[nearer], view[index[nearer]].float()
    # Once more, from the difference: the products above lose what is small.
    distance = (seen - data.standardise(twins).flatten(1)).square().mean(1).sqrt()
    return Nearest(rows.float(), distance, twins)
