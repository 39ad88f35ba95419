"""The arms of the experiment: what a classifier is trained on."""

from dataclasses import dataclass

import torch
from torch import Tensor

from training.data.augment import Augment
from training.data.training_set import Examples, as_floats, unchanged
from training.utility.classifier import Draw


@dataclass(frozen=True)
class Arm:
    """title: in tables; real, augmented, generated: what it has; more: twice as many real rows of each class;
    unlabelled: all rows too, without their labels"""

    title: str
    real: bool = True
    augmented: bool = False
    generated: bool = False
    more: bool = False
    unlabelled: bool = False


ARMS = {
    "real": Arm("real"),
    "augmented": Arm("real, augmented", augmented=True),
    "generated": Arm("real and generated", generated=True),
    "both": Arm("both", augmented=True, generated=True),
    "only": Arm("generated only", real=False, generated=True),
    "unlabelled": Arm("real and unlabelled, augmented", augmented=True, unlabelled=True),
    "more": Arm("twice the real, augmented", augmented=True, more=True),
}
REFERENCE, JUDGED = "augmented", "both"  # their paired difference is the answer
LABELLER = "unlabelled"  # the arm whose classifier labels the other rows


def draw_of(arm: Arm, real: Examples, generated: Examples | None, augment: Augment) -> Draw:
    """Rows for a batch: half of them generated where the arm has real rows and generated ones.

    augment  is applied to real and generated rows alike, if the arm is augmented
    """
    sources = [examples for wanted, examples in ((arm.real, real), (arm.generated, generated)) if wanted and examples]
    change = augment if arm.augmented else unchanged

    def draw(rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        parts = [rows // len(sources)] * (len(sources) - 1)
        parts.append(rows - sum(parts))
        drawn = [_some(source, part, generator) for source, part in zip(sources, parts, strict=True)]
        images, labels = (torch.cat(columns) for columns in zip(*drawn, strict=True))
        return change(images, generator), labels

    return draw


def _some(examples: Examples, rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    index = torch.randint(len(examples), (rows,), generator=generator)
    return as_floats(examples.rows[index]), examples.labels[index]
