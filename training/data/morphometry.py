"""The shape of handwriting in numbers: stroke thickness, slant, width, height, stroke length.

As Morpho-MNIST defines them (Castro 2019, section 2).
"""

import hashlib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple, dataclass, fields

import numpy as np
from rich.progress import Progress
from scipy.ndimage import distance_transform_edt
from skimage.morphology import skeletonize
from skimage.transform import pyramid_expand
from torch import Tensor

from training.data.cache import cache_dir

UPSCALE = 4  # a skeleton of 28×28 pixels would be too coarse
THRESHOLD = 0.5  # of the range of the upscaled image
CUT = 0.02  # of an image's ink, beyond its width and height: specks do not count
CHUNK = 500  # images a process takes at a time
VERSION = "1"  # of what is measured: a change makes what is kept be measured again


@dataclass(frozen=True)
class Morphometry:
    """Of n images, each [n] float64; NaN throughout where an image has no ink.

    thickness  pixels: twice the mean distance of the skeleton from the stroke's edge
    slant      degrees from the vertical, positive to the right: the shear that would set the ink upright
    width      pixels: of the parallelogram around the ink that leans as the slant does
    height     pixels: of the same
    length     pixels: of the skeleton, diagonal steps √2 long
    """

    thickness: np.ndarray
    slant: np.ndarray
    width: np.ndarray
    height: np.ndarray
    length: np.ndarray

    def __len__(self) -> int:
        return len(self.thickness)


def measure(images: Tensor | np.ndarray, *, keep: bool = False) -> Morphometry:
    """Images [n, 1, H, W] or [n, H, W] in 0 … 255. On all cores, about 2 ms an image and core.

    keep  what was measured is kept in `cache_dir()`, and found there the next time
    """
    pixels = np.asarray(images, dtype=np.float32).reshape(len(images), *images.shape[-2:])
    if not keep:
        return _measure(pixels)
    identity = hashlib.sha256(VERSION.encode() + pixels.tobytes()).hexdigest()[:16]
    path = cache_dir() / f"morphometry-{identity}.npz"
    if path.is_file():
        with np.load(path) as kept:
            return Morphometry(**kept)
    measured = _measure(pixels)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, **{field.name: getattr(measured, field.name) for field in fields(Morphometry)})
    partial.replace(path)
    return measured


def _measure(images: np.ndarray) -> Morphometry:
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


def _measure_chunk(images: np.ndarray) -> list[tuple[float, ...]]:
    return [_measure_image(image) for image in images]


def _measure_image(image: np.ndarray) -> tuple[float, ...]:
    """One image [H, W]. (thickness, slant, width, height, length)"""
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


def _extent(along: np.ndarray) -> float:
    """Between the two quantiles that leave CUT of the ink outside; a pixel is one wide."""
    low, high = np.quantile(along, [CUT / 2, 1 - CUT / 2])
    return float(high - low) + 1


def _skeleton_length(skeleton: np.ndarray) -> float:
    """Steps between neighbouring pixels: 1 along a side, √2 across a corner."""
    s = skeleton
    straight = (s[1:] & s[:-1]).sum() + (s[:, 1:] & s[:, :-1]).sum()
    # Across a corner only where there is no way along the sides.
    down = s[1:, 1:] & s[:-1, :-1] & ~s[1:, :-1] & ~s[:-1, 1:]
    up = s[1:, :-1] & s[:-1, 1:] & ~s[1:, 1:] & ~s[:-1, :-1]
    return float(straight + np.sqrt(2) * (down.sum() + up.sum()))


def terciles(values: Morphometry, labels: np.ndarray, classes: int) -> dict[str, np.ndarray]:
    """Measure → [classes, 2]: between which values the middle third of each class lies."""
    found = {}
    for field, value in zip(fields(Morphometry), astuple(values), strict=True):
        bounds = [np.nanquantile(value[labels == label], [1 / 3, 2 / 3]) for label in range(classes)]
        found[field.name] = np.array(bounds)
    return found
