"""The shape of handwriting in numbers: stroke thickness, slant, width, height, stroke length.

As Morpho-MNIST defines them (Castro 2019, section 2).
"""

import hashlib
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple, dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress
from scipy.ndimage import distance_transform_edt
from skimage.morphology import skeletonize
from skimage.transform import pyramid_expand
from torch import Tensor

from training.data.stored_tensors import StoredTensors

UPSCALE = 4  # a skeleton of 28×28 pixels would be too coarse
THRESHOLD = 0.5  # share of the range of the upscaled image
CUT = 0.02  # share of an image's ink outside its width and height: specks do not count
CHUNK = 500  # images that a process measures at a time
VERSION = 1  # of the measures: a new number makes cached ones be measured again


@dataclass(frozen=True)
class Morphometry:
    """Measures of n images, each [n] float64; NaN for an image without ink.

    thickness  in pixels: twice the mean distance of the skeleton from the stroke's edge
    slant      in degrees from the vertical, positive to the right: the angle of the shear that sets the ink upright
    width      in pixels, of the parallelogram around the ink that leans by the slant
    height     in pixels, of the same parallelogram
    length     in pixels, of the skeleton, where a diagonal step is √2 long
    """

    thickness: NDArray[np.float64]
    slant: NDArray[np.float64]
    width: NDArray[np.float64]
    height: NDArray[np.float64]
    length: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.thickness)


def measure(images: Tensor | NDArray[np.generic], *, keep: bool = False) -> Morphometry:
    """Measure images on all cores; an image takes about 2 ms of a core.

    images  [n, 1, H, W] or [n, H, W] in 0 … 255
    keep    cache the measures, and take them from there the next time
    """
    pixels = np.asarray(images, dtype=np.float32).reshape(len(images), *images.shape[-2:])
    if not keep:
        return _measure(pixels)
    digest = hashlib.sha256(pixels.tobytes()).hexdigest()

    def make() -> Mapping[str, Tensor]:
        measured = _measure(pixels)
        return {field.name: torch.from_numpy(getattr(measured, field.name)) for field in fields(measured)}

    # The processes of one training ask at the same time: one measures, and the others wait.
    stored = StoredTensors("measures of strokes", (VERSION, digest)).get(make)
    return Morphometry(**{name: column.numpy() for name, column in stored.items()})


def _measure(images: NDArray[np.float32]) -> Morphometry:
    chunks = [images[start : start + CHUNK] for start in range(0, len(images), CHUNK)]
    rows: list[tuple[float, ...]] = []
    if len(chunks) < 2:
        rows = [row for chunk in chunks for row in _measure_chunk(chunk)]
    else:
        with ProcessPoolExecutor() as pool, Progress(transient=True) as progress:
            task = progress.add_task("measuring strokes", total=len(images))
            for measured in pool.map(_measure_chunk, chunks):
                rows += measured
                progress.advance(task, len(measured))
    return Morphometry(*np.array(rows, dtype=np.float64).reshape(-1, len(fields(Morphometry))).T)


def _measure_chunk(images: NDArray[np.float32]) -> list[tuple[float, ...]]:
    return [_measure_image(image) for image in images]


def _measure_image(image: NDArray[np.float32]) -> tuple[float, ...]:
    """(thickness, slant, width, height, length) of one image [H, W]."""
    if not image.max() > image.min():
        return (float("nan"),) * len(fields(Morphometry))
    smooth = pyramid_expand(image, upscale=UPSCALE, order=3)
    ink = smooth >= smooth.min() + THRESHOLD * (smooth.max() - smooth.min())
    skeleton = skeletonize(ink)  # a tenth of the time of the medial axis, and thicknesses correlate by 0.99
    thickness = 2 * distance_transform_edt(ink)[skeleton].mean() / UPSCALE

    y, x = np.nonzero(ink)
    x_apart, y_apart = x - x.mean(), y - y.mean()
    vertical = float((y_apart**2).mean())
    shear = float((x_apart * y_apart).mean()) / vertical if vertical > 0 else 0.0
    slant = float(np.degrees(np.arctan(-shear)))  # y grows downwards
    upright = x_apart - shear * y_apart
    width, height = (_extent(along) / UPSCALE for along in (upright, y_apart))
    return thickness, slant, width, height, _skeleton_length(skeleton) / UPSCALE


def _extent(along: NDArray[np.float64]) -> float:
    """The distance between the two quantiles that leave CUT of the ink outside; a pixel is one wide."""
    low, high = np.quantile(along, [CUT / 2, 1 - CUT / 2])
    return float(high - low) + 1


def _skeleton_length(skeleton: NDArray[np.bool_]) -> float:
    """The sum of the steps between neighbouring pixels [H, W]: 1 along a side, √2 across a corner."""
    s = skeleton
    straight = (s[1:] & s[:-1]).sum() + (s[:, 1:] & s[:, :-1]).sum()
    # A step across a corner counts only if there is no way along the sides.
    down = s[1:, 1:] & s[:-1, :-1] & ~s[1:, :-1] & ~s[:-1, 1:]
    up = s[1:, :-1] & s[:-1, 1:] & ~s[1:, 1:] & ~s[:-1, :-1]
    return float(straight + np.sqrt(2) * (down.sum() + up.sum()))


def terciles(values: Morphometry, labels: NDArray[np.int64], classes: int) -> dict[str, NDArray[np.float64]]:
    """Measure → [classes, 2], the lower and upper bound of the middle third of each class. labels: [n]."""
    found = {}
    for field, value in zip(fields(Morphometry), astuple(values), strict=True):
        bounds = [np.nanquantile(value[labels == label], [1 / 3, 2 / 3]) for label in range(classes)]
        found[field.name] = np.array(bounds)
    return found
