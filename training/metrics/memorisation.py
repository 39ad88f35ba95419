"""Are samples copies of training rows? Distances to the nearest training row, of samples and of held-out rows."""

from dataclasses import dataclass

from torch import Tensor

from model.nearest import Nearest, nearest
from training.data.training_set import TrainingSet, learned, some_rows
from training.evaluate.measurement import Metrics, rounded

CHECKED = 2_000  # samples, and held-out rows, at most
PAIRS = 10  # of the nearest rows in a picture
NEAR = 0.01  # quantile of the held-out rows' distances: a nearer sample may be a copy


@dataclass(frozen=True, eq=False)
class Memorisation:
    """The metrics, and the nearest training rows of the samples and of as many held-out rows."""

    metrics: Metrics
    samples: Nearest
    held_out: Nearest


def memorisation(samples: Tensor, data: TrainingSet, *, mirrored: bool = False) -> Memorisation:
    """Compare at most CHECKED samples with the training rows.

    samples   [n, …] in the data's own units
    mirrored  training images were also mirrored, so their mirror images count as training rows

    A model that memorised nothing has distances like those of held-out rows, and its share of samples that are
    nearer than those is the share by chance. Where NEAR of the held-out rows equal training rows, as in a table of few
    values, no sample is nearer: the shares of equal rows stand in place of that one.

    Raises DataError if the set has no examples that could be memorised.
    """
    training = learned(data)
    held_out_rows = data.held_out.some(CHECKED).rows
    generated, held_out = (
        nearest(rows, training.rows, data.config, mirrored=mirrored)
        for rows in (some_rows(samples, CHECKED), held_out_rows)
    )
    metrics: Metrics = {
        "samples": len(generated.rows),
        "held_out": len(held_out_rows),
        "trained_on": len(training),
    }
    distance = "dcr" if data.config.kind == "points" else "nearest_training"  # as people call it for tables
    for name, found in ((distance, generated), (f"{distance}_of_real", held_out)):
        metrics[name] = rounded(found.distance.median().item())
        metrics[f"{name}_first_percentile"] = rounded(found.distance.quantile(NEAR).item())
    nearer = share_nearer(generated.distance, held_out.distance)
    if nearer is None:
        metrics["equal_to_training"] = _equal(generated)
        metrics["equal_to_training_of_real"] = _equal(held_out)
    else:
        metrics["nearer_than_real"], metrics["nearer_than_real_by_chance"] = map(rounded, nearer)
    return Memorisation(metrics, generated, held_out)


def share_nearer(samples: Tensor, real: Tensor) -> tuple[float, float] | None:
    """(the share of samples that are nearer than all but NEAR of real rows, that share of new real rows), by distances
    [n] and [m] to the nearest training row. None where that many real rows equal one, for then nothing is nearer."""
    near = real.quantile(NEAR)
    return ((samples < near).double().mean().item(), _by_chance(len(real))) if near > 0 else None


def _equal(found: Nearest) -> float:
    """The share of rows that equal their nearest training row."""
    return rounded((found.distance == 0).double().mean().item())


def _by_chance(held_out: int) -> float:
    """The expected share of fresh real rows below the quantile NEAR of `held_out` others.

    The k-th smallest of n rows has a mean share k / (n + 1) of all rows below it: order statistics of the uniform
    distribution. The quantile lies at k = 1 + NEAR (n − 1), so with few rows the share is much more than NEAR.
    """
    return (1 + NEAR * (held_out - 1)) / (held_out + 1)
