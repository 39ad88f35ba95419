"""Are generated rows copies of the labelled ones? Their distances to these, beside those of the test rows."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.data import DataConfig
from model.nearest import nearest
from training.data.training_set import Examples
from training.metrics.memorisation import share_nearer
from training.utility.classifier import DIGITS

COMPARED = 500  # samples, and test rows, of each class, whose nearest labelled rows are looked for


@dataclass(frozen=True)
class Nearness:
    """Distances from the nearest labelled row: root mean squares, in the network's range. All are means over classes.

    samples, test_rows  medians
    nearer              the share of samples that are nearer than 99 % of the test rows of their class
    by_chance           that share of new real rows, expected
    ratio               samples for each labelled row; 0 where that is not known

    None is what no class can tell.
    """

    samples: float | None
    test_rows: float | None
    nearer: float | None
    by_chance: float | None
    ratio: int = 0


def nearness(generated: Examples, labelled: Tensor, test: Examples, data: DataConfig) -> Nearness:
    """Class by class: samples have as many rows of each class, test rows have not, and classes differ in distances.

    generated, test  rows of every class
    labelled         [n, …], what the generator may have copied
    """
    of_classes = []
    for label in range(len(data.labels)):
        samples, real = (
            nearest(part.at(torch.nonzero(part.labels == label).flatten()).some(COMPARED).rows, labelled, data).distance
            for part in (generated, test)
        )
        shares = share_nearer(samples, real) or (None, None)
        of_classes.append((samples.median().item(), real.median().item(), *shares))
    of_samples, of_test, nearer, by_chance = (mean_of_known(column) for column in zip(*of_classes, strict=True))
    return Nearness(of_samples, of_test, nearer, by_chance)


def mean_of_known(values: Iterable[float | None]) -> float | None:
    """None if none is known."""
    known = [value for value in values if value is not None]
    return round(float(np.mean(known)), DIGITS) if known else None
