"""A picture → a hint that a ControlNet follows. The same code makes the hints of training and those of requests.

A hint is float32 [H, W] in 0 … 1: light where an edge or a stroke is; of an inpainting hint 0 where nothing is known.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
import torch
from scipy import ndimage
from skimage.feature import canny  # by name: scikit-image loads its parts lazily, and two threads at once break that
from skimage.morphology import disk, skeletonize
from skimage.transform import resize
from torch import Tensor

from model.conditions import ControlKind

Framing = Literal["ink", "whole"]
"""How somebody's picture becomes one of the model's kind: its ink cut out, scaled and centred as MNIST does it; or the
picture as it is, from edge to edge."""

GREY = (0.299, 0.587, 0.114)  # of red, green and blue (ITU-R BT.601)

CANNY_SIGMA = 0.7  # pixels
CANNY_THRESHOLDS = (0.1, 0.25)  # low and high, of gradients of an image in 0 … 1

FINE = 4  # strokes are thinned and drawn at so many times the resolution
PEN = 3  # radius of what draws a stroke there: 7/4 pixels wide
INK = 0.5  # of a picture's range: what is lighter is a stroke

FRAME = 20 / 28  # MNIST's: the ink's longer side, of the image's; its centre of mass is the image's
FAINT = 0.1  # of the full range: a picture whose values span less shows nothing
FULL = 0.6  # of the pixels: where more are ink, there is no drawing
SMALLEST = 8  # pixels a side


class HintError(ValueError):
    """A picture that no hint can be made of; the message says why."""


def edges(image: np.ndarray, thresholds: tuple[float, float] = CANNY_THRESHOLDS) -> np.ndarray:
    """Canny's edges [H, W], 0 or 1, of a grey image [H, W] in 0 … 255 (Canny 1986)."""
    low, high = thresholds
    found: np.ndarray = canny(image.astype(np.float32) / 255, CANNY_SIGMA, low_threshold=low, high_threshold=high)
    return found.astype(np.float32)


def strokes(image: np.ndarray) -> np.ndarray:
    """The ink of a grey image [H, W], light on dark, thinned to its middle line and drawn with one pen."""
    return _drawn(ndimage.zoom(image.astype(np.float32), FINE, order=1, grid_mode=True, mode="nearest"))


def grey(images: Tensor) -> Tensor:
    """[n, 1 or 3, H, W] → [n, H, W] float32: what hints are taken of."""
    if images.shape[1] == 1:
        return images[:, 0].float()
    red, green, blue = (weight * images[:, channel].float() for channel, weight in enumerate(GREY))
    return red + green + blue


HINT_EXTRACTORS: Mapping[ControlKind, Callable[[np.ndarray], np.ndarray]] = {"canny": edges, "sketch": strokes}
"""The hint of a grey image [H, W] that is of the model's own kind and size."""


def known_hint(images: Tensor, kept: Tensor) -> Tensor:
    """The inpainting hint [n, 1, H, W] of images [n, C, H, W] in 0 … 255, of which the pixels `kept` [n, 1, H, W] bool
    are known: 0 where they are not, and from black to white 0.5 … 1 where they are."""
    return torch.where(kept, 0.5 + grey(images).unsqueeze(1) / 510, 0.0)


def given_hint(
    picture: np.ndarray,
    kind: ControlKind,
    size: tuple[int, int],
    *,
    framing: Framing = "ink",
    frame: float = FRAME,
    preprocess: bool = True,
) -> np.ndarray:
    """The hint [H, W] of `size` that somebody's picture is, or is made into.

    picture     grey, 0 … 255, of any size
    framing     ink: dark on light is turned round, the ink is cut out, scaled and centred as MNIST does it, and its
                edges or its strokes are taken. whole: the largest part around the middle that has the shape is
                scaled, and its edges are taken
    frame       of ink: its longer side, as a share of the image's shorter one
    preprocess  False: the picture is the hint itself, light on dark, as large as the model's images

    Raises HintError.
    """
    picture = picture.astype(np.float32)
    if not preprocess:
        if picture.shape != size:
            raise HintError(
                f"a hint that is not preprocessed is as large as the model's images, {size[1]}×{size[0]} pixels, "
                f"not {picture.shape[1]}×{picture.shape[0]}"
            )
        hint = picture / 255
        return _checked((hint >= INK).astype(np.float32) if kind == "canny" else hint)
    if min(picture.shape) < SMALLEST:
        raise HintError(
            f"{picture.shape[1]}×{picture.shape[0]} pixels are too few to draw in: at least {SMALLEST}×{SMALLEST}"
        )
    if framing == "whole":
        return _checked(HINT_EXTRACTORS[kind](filling(picture, size)))
    ink = light_on_dark(picture)
    if kind == "canny":
        return _checked(edges(framed(ink, size, frame)))
    return _checked(_drawn(framed(ink, (FINE * size[0], FINE * size[1]), frame, keep_lines=True)))


def filling(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Of a picture [H, W] or [H, W, 3], the largest part around the middle with the shape of `size`, scaled to it."""
    scale = min(side / wanted for side, wanted in zip(picture.shape[:2], size, strict=True))
    height, width = (max(1, round(scale * wanted)) for wanted in size)
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    middle = picture[top : top + height, left : left + width]
    scaled: np.ndarray = resize(middle, size, order=1, anti_aliasing=True)
    return scaled


def light_on_dark(picture: np.ndarray) -> np.ndarray:
    """Stretched to 0 … 255; turned round where the rim is light. Raises HintError where there is nothing on it."""
    rim = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    ground = float(np.median(rim))
    # What is drawn is what differs from the ground, be it darker or lighter; what the ground is, the rim knows.
    ink = picture - ground if picture.max() - ground >= ground - picture.min() else ground - picture
    strongest = float(ink.max())
    if strongest < FAINT * 255:
        raise HintError("the picture is empty: nothing on it differs from its ground")
    return 255 * (ink / strongest).clip(0, 1)


def framed(ink: np.ndarray, size: tuple[int, int], frame: float = FRAME, *, keep_lines: bool = False) -> np.ndarray:
    """Light ink on dark [H, W] → [size], scaled and centred as MNIST's digits are; 0 … 255.

    keep_lines  a line stays as light as it is however thin it becomes, instead of fading into its ground

    Raises HintError where the picture is nearly all ink.
    """
    marks = ink >= INK * 255
    if marks.mean() > FULL:
        raise HintError("the picture is full: nearly all of it is ink, on a ground that cannot be seen")
    rows, columns = np.flatnonzero(marks.any(1)), np.flatnonzero(marks.any(0))
    top, left = max(rows[0] - 1, 0), max(columns[0] - 1, 0)
    cut = ink[top : rows[-1] + 2, left : columns[-1] + 2]
    scale = frame * min(size) / max(cut.shape)
    height, width = (max(1, round(scale * side)) for side in cut.shape)
    if keep_lines:  # no line may fall between the places that are looked at
        cut = ndimage.maximum_filter(cut, size=(-(-cut.shape[0] // height), -(-cut.shape[1] // width)))
    small = resize(cut, (height, width), order=1, anti_aliasing=scale < 1 and not keep_lines)
    small *= 255 / max(float(small.max()), 1e-6)
    across, down = np.meshgrid(np.arange(width), np.arange(height))
    centre_y, centre_x = (float((small * axis).sum() / small.sum()) for axis in (down, across))
    image = np.zeros(size, np.float32)
    y = int(np.clip(round((size[0] - 1) / 2 - centre_y), 0, size[0] - height))
    x = int(np.clip(round((size[1] - 1) / 2 - centre_x), 0, size[1] - width))
    image[y : y + height, x : x + width] = small
    return image


def _drawn(fine: np.ndarray) -> np.ndarray:
    """Ink at FINE times the resolution → its middle lines, drawn by one pen, at the plain one."""
    marks = fine >= INK * max(float(fine.max()), 1.0)
    lines = ndimage.binary_dilation(skeletonize(marks), disk(PEN))
    height, width = (side // FINE for side in fine.shape)
    drawn: np.ndarray = lines.reshape(height, FINE, width, FINE).mean((1, 3), dtype=np.float32)
    return drawn


def _checked(hint: np.ndarray) -> np.ndarray:
    """Raises HintError where it says nothing."""
    if not (hint >= INK).any():
        raise HintError("the hint is empty: there is no edge or stroke in it")
    if (hint >= INK).mean() > FULL:
        raise HintError("the hint is full: nearly all of it is edge or stroke")
    return hint.astype(np.float32)
