"""Agreement: how well images follow their hints."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation
from torch import Tensor

from model.conditions import ControlKind
from model.hints import HINT_EXTRACTORS, INK, grey

NEAR = np.ones((3, 3), bool)  # within one pixel


def f1(lines: NDArray[np.bool_], hint: NDArray[np.bool_]) -> float:
    """F1 = 2·P·R/(P + R) of two line drawings [H, W], with a tolerance of one pixel; 0 if either is blank.

    P is the share of the pixels of `lines` within one pixel of the hint, R the share of the hint's within one of
    `lines`.
    """
    if not lines.any() or not hint.any():
        return 0.0
    precision = float(binary_dilation(hint, NEAR)[lines].mean())
    recall = float(binary_dilation(lines, NEAR)[hint].mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def agreement(images: Tensor, hints: Tensor, kind: ControlKind) -> float:
    """The mean F1 between the hint extracted from each image and the hint that the image was to follow.

    images  [n, C, H, W] in 0 … 255
    hints   [n, 1, H, W] in 0 … 1
    """
    found = [HINT_EXTRACTORS[kind](image) >= INK for image in grey(images).numpy()]
    wanted = hints[:, 0].numpy() >= INK
    return float(np.mean([f1(*pair) for pair in zip(found, wanted, strict=True)]))


def another_of_the_class(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """The index [n] of another row with the same label, for each of the labels [n]; a label's only row gets its own."""
    other = np.arange(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        other[members] = np.roll(members, 1)
    return other
