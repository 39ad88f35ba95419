"""How well an image follows a hint."""

import numpy as np
from scipy.ndimage import binary_dilation
from torch import Tensor

from model.conditions import HintKind
from model.hints import HINT_EXTRACTORS, INK, grey

NEAR = np.ones((3, 3), bool)  # within one pixel


def f1(drawn: np.ndarray, hint: np.ndarray) -> float:
    """Of the pixels [H, W] bool of two line drawings, each found if the other has one within one pixel.

    2·P·R/(P + R): P is the share of the drawn ones that are near the hint's, R that of the hint's that are near drawn
    ones. 0 where either is blank.
    """
    if not drawn.any() or not hint.any():
        return 0.0
    precision = float(binary_dilation(hint, NEAR)[drawn].mean())
    recall = float(binary_dilation(drawn, NEAR)[hint].mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def agreement(images: Tensor, hints: Tensor, kind: HintKind) -> float:
    """Mean F1 of the hint that each image [n, C, H, W] in 0 … 255 would give, and the one [n, 1, H, W] it was given."""
    found = [HINT_EXTRACTORS[kind](image) >= INK for image in grey(images).numpy()]
    wanted = hints[:, 0].numpy() >= INK
    return float(np.mean([f1(*pair) for pair in zip(found, wanted, strict=True)]))


def another_of_the_class(labels: np.ndarray) -> np.ndarray:
    """For each of labels [n] the index of another row of the same label (its own where it has none)."""
    other = np.arange(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        other[members] = np.roll(members, 1)
    return other
