"""How well an image follows a hint."""

import numpy as np
from scipy.ndimage import binary_dilation
from torch import Tensor

from model.conditions import HintKind
from model.hints import INK, OF_IMAGE

NEAR = np.ones((3, 3), bool)  # within one pixel


def f1(drawn: np.ndarray, hint: np.ndarray) -> float:
    """Of the pixels [H, W] bool of two line drawings, each found if the other has one within one pixel.

    2·P·R/(P + R), P the share of the drawn ones that are near the hint's, R that of the hint's that are near drawn ones;
    0 where either is blank.
    """
    if not drawn.any() or not hint.any():
        return 0.0
    precision = float(binary_dilation(hint, NEAR)[drawn].mean())
    recall = float(binary_dilation(drawn, NEAR)[hint].mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def agreement(images: Tensor, hints: Tensor, kind: HintKind) -> float:
    """Mean F1 of what a hint of that kind would be of each image [n, 1, H, W] in 0 … 255, with its hint [n, 1, H, W]."""
    found = (OF_IMAGE[kind](image) >= INK for image in images[:, 0].numpy())
    return float(
        np.mean([f1(of_image, hint >= INK) for of_image, hint in zip(found, hints[:, 0].numpy(), strict=True)])
    )


def another_of_the_class(labels: np.ndarray) -> np.ndarray:
    """For each of labels [n] the index of another row of the same label (its own where it has none)."""
    other = np.arange(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        other[members] = np.roll(members, 1)
    return other
