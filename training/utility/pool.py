"""The real rows of the experiment: those that labels are chosen from, those that stop training, and those that test."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from model.data import DataConfig
from training.data.split import digests
from training.data.training_set import DataError, Examples, TrainingSet

VALIDATION = 0.2  # share of each class that stops training …
MOST_VALIDATION = 50  # … and at most so many rows
DRAWN = 20_000  # rows of a set that makes rows without end …
DRAWN_SEED = 1  # … by another seed than that of its held-out rows, which is 0


@dataclass(frozen=True, eq=False)
class Pool:
    """Three parts: no row is in two of them.

    train       labels are chosen from these; a semi-supervised generator sees all of them, without their labels
    validation  training stops where these are read best; a copy of one may be in `train`
    test        held-out rows, of other groups where the set has groups. None has a copy in the other parts, except
                where values are discrete: there rows are equal by chance, as `split.discrete_rows` says
    unlabelled  further rows without a label, which a semi-supervised generator sees too
    """

    config: DataConfig
    train: Examples
    validation: Examples
    test: Examples
    unlabelled: Tensor | None = None

    @cached_property
    def seen(self) -> Tensor:
        """The rows that need no label: those of `train`, then the unlabelled ones."""
        return self.train.rows if self.unlabelled is None else torch.cat([self.train.rows, self.unlabelled])

    @property
    def classes(self) -> int:
        return len(self.config.labels)

    @property
    def rarest_first(self) -> list[int]:
        """The classes in the order of their numbers of rows."""
        return torch.bincount(self.train.labels, minlength=self.classes).argsort(stable=True).tolist()

    @cached_property
    def fingerprint(self) -> str:
        """A hash of all rows and labels."""
        digest = hashlib.sha256()
        if self.unlabelled is not None:
            digest.update(self.unlabelled.contiguous().numpy().tobytes())
        for part in (self.train, self.validation, self.test):
            for tensor in (part.rows, part.labels):
                digest.update(tensor.contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def chosen(self, rows: int, choice: int) -> Tensor:
        """Indices into `train` of so many rows of each class. A larger number of the same choice has the same rows, and
        more."""
        order = torch.randperm(len(self.train), generator=torch.Generator().manual_seed(choice))
        labels = self.train.labels[order]
        return torch.cat([order[labels == label][:rows] for label in range(self.classes)])

    def fewest(self) -> tuple[int, str]:
        """(the rows of the rarest class in `train`, its name)"""
        rarest = self.rarest_first[0]
        return int((self.train.labels == rarest).sum()), self.config.labels[rarest]


def pool_of(data: TrainingSet) -> Pool:
    """Raises DataError for a set without two classes, or with a class that has nothing to test or to stop with."""
    config = data.config
    if len(config.labels) < 2:
        raise DataError(
            f"{config.dataset} has {len(config.labels)} classes, and a classifier needs two: give a folder for each "
            f"class, or name the column of classes (init --label)"
        )
    examples = data.examples
    if examples is None:
        examples = _drawn(data)
    order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(0))
    stops = torch.zeros(len(examples), dtype=torch.bool)
    for label, name in enumerate(config.labels):
        own = order[examples.labels[order] == label]
        if len(own) < 2 or not (data.held_out.labels == label).any():
            raise DataError(
                f"{config.dataset}: class {name} has {len(own)} rows to train on and "
                f"{int((data.held_out.labels == label).sum())} that are held out: nothing can be said of it; add "
                f"some, or take the class away"
            )
        stops[own[: max(1, min(MOST_VALIDATION, round(VALIDATION * len(own))))]] = True
    train, validation = (Examples(examples.rows[part], examples.labels[part]) for part in (~stops, stops))
    unlabelled = None if data.real is None else data.real.unlabelled
    return Pool(config, train, validation, Examples(data.held_out.rows, data.held_out.labels), unlabelled)


def _drawn(data: TrainingSet) -> Examples:
    """Rows of a set that makes them without end, except those that it holds out: points of a curve may come twice."""
    rows, labels = data.draw(DRAWN, torch.Generator().manual_seed(DRAWN_SEED))
    new = torch.from_numpy(~np.isin(digests(rows.numpy()), digests(data.held_out.rows.numpy())))
    return Examples(rows[new], labels[new])
