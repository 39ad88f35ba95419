"""Images with hints: edges at random thresholds, strokes like those of a hurried finger, or what random masks leave."""

from concurrent.futures import ProcessPoolExecutor
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor
from torch.nn import functional as F

from model.conditions import HintKind
from model.hints import edges, grey, known_hint, strokes
from training.data.ink import EXAMINED, is_ink
from training.data.random_masks import random_kept
from training.data.training_set import DataError, FiniteSet, unchanged

LOW, HIGH = (0.03, 0.2), (0.05, 0.3)  # ranges of Canny's low threshold, and of the high one's distance above it
CHUNK = 500  # images that a process thins at a time

SIDE = 28  # lengths below are in pixels of images with this side
SHIFT, TURN, STRETCH = 0.5, 0.08, 0.08  # standard deviations: pixels, radians, shares of the size
WAVER, KNOTS = 0.6, 5  # standard deviation of the lines' displacement in pixels, at KNOTS × KNOTS points
PEN = (0.8, 2.0)  # range of the pen's pressure: faint, thin lines … wide ones
GAPS = 3  # gaps in the lines, at most
GAP = (0.8, 2.2)  # range of a gap's radius in pixels


class HintedImages:
    """A `TrainingSet` whose rows [rows, C + 1, H, W] have the hint in 0 … 1 as their last channel.

    Raises DataError if sketches are wanted and the images have no strokes.
    """

    def __init__(self, real: FiniteSet, kind: HintKind):
        self.config = real.config
        self.examples, self.held_out = real.examples, real.held_out
        if kind == "sketch" and not is_ink(real.examples.some(EXAMINED).rows):
            raise DataError(
                f"{self.config.dataset}: a sketch is of light strokes on a dark ground, which its images are not: use "
                f'the hint "canny"'
            )
        self.real = real
        self._kind = kind
        self._augmented = real.augment is not unchanged

    def draw(self, rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        index = torch.randint(len(self.real), (rows,), generator=generator)
        images = self.real.at(index, generator)
        if self._kind == "canny":
            hints = roughly_edged(images, generator)
        elif self._kind == "inpainting":
            _, _, height, width = images.shape
            hints = known_hint(images, random_kept(rows, height, width, generator))
        elif self._augmented:  # these have new strokes every time
            hints = rough(torch.from_numpy(_strokes_of(grey(images).numpy())).unsqueeze(1).float() / 255, generator)
        else:
            hints = rough(self._clean_strokes[index].float() / 255, generator)
        return torch.cat([images, hints], dim=1), self.examples.labels[index]

    @cached_property
    def _clean_strokes(self) -> Tensor:
        """Of all images [n, 1, H, W], uint8: a minute's work, of which only a training that draws sketches has use."""
        return _all_strokes(self.examples.rows)


def roughly_edged(images: Tensor, generator: torch.Generator) -> Tensor:
    """Canny's edges [n, 1, H, W] in 0 … 1 of images [n, C, H, W] in 0 … 255, at random thresholds for each image
    (ZRA23 section 4)."""
    u = torch.rand(len(images), 2, generator=generator).numpy()
    low = LOW[0] + (LOW[1] - LOW[0]) * u[:, 0]
    high = low + HIGH[0] + (HIGH[1] - HIGH[0]) * u[:, 1]
    found = [edges(image, pair) for image, pair in zip(grey(images).numpy(), zip(low, high, strict=True), strict=True)]
    return torch.from_numpy(np.stack(found)).unsqueeze(1)


def rough(sketches: Tensor, generator: torch.Generator) -> Tensor:
    """Clean strokes [n, 1, H, W] in 0 … 1 → strokes as drawn by hand: moved, turned, wavering, of random pressure, with
    gaps."""
    n, _, height, width = sketches.shape
    pixel = min(height, width) / SIDE

    def normal(*shape: int) -> Tensor:
        return torch.randn(n, *shape, generator=generator)

    def uniform(bounds: tuple[float, float], *shape: int) -> Tensor:
        return bounds[0] + (bounds[1] - bounds[0]) * torch.rand(n, *shape, generator=generator)

    turn, stretch = TURN * normal(), 1 + STRETCH * normal(2)
    cosine, sine = turn.cos(), turn.sin()
    rotation = torch.stack([torch.stack([cosine, -sine], 1), torch.stack([sine, cosine], 1)], 1)
    shift = pixel * SHIFT * normal(2, 1) * 2 / torch.tensor([width, height]).view(2, 1)
    where = F.affine_grid(torch.cat([rotation * stretch.unsqueeze(1), shift], 2), list(sketches.shape), False)
    waver = F.interpolate(normal(2, KNOTS, KNOTS), (height, width), mode="bicubic", align_corners=True)
    where = where + pixel * WAVER * waver.permute(0, 2, 3, 1) * 2 / torch.tensor([width, height])
    lines = F.grid_sample(sketches, where, align_corners=False)
    lines = (lines * uniform(PEN, 1, 1, 1)).clamp(max=1)

    gaps = torch.rand(n, 1, generator=generator) * (GAPS + 1) > torch.arange(
        1, GAPS + 1
    )  # 0 … GAPS of them, equally often
    ink = lines.flatten(1) + 1e-6  # a gap lies on a line; in a blank image, anywhere
    centre = torch.multinomial(ink, GAPS, generator=generator)
    down, across = torch.arange(height).view(-1, 1), torch.arange(width).view(1, -1)
    row, column = (centre // width).view(n, GAPS, 1, 1), (centre % width).view(n, GAPS, 1, 1)
    near = (down - row) ** 2 + (across - column) ** 2 < (pixel * uniform(GAP, GAPS, 1, 1)) ** 2
    broken = (near & gaps.view(n, GAPS, 1, 1)).any(1, keepdim=True)
    return torch.where(broken, torch.zeros(()), lines)


def _all_strokes(images: Tensor) -> Tensor:
    """The clean strokes of all images [n, 1, H, W], uint8 [n, 1, H, W]: a millisecond each, on all cores."""
    chunks = [chunk.numpy() for chunk in torch.split(images[:, 0], CHUNK)]
    if len(chunks) < 2:
        return torch.from_numpy(_strokes_of(chunks[0])).unsqueeze(1)
    with ProcessPoolExecutor() as pool:
        done = list(track(pool.map(_strokes_of, chunks), "thinning", total=len(chunks), transient=True))
    return torch.from_numpy(np.concatenate(done)).unsqueeze(1)


def _strokes_of(images: NDArray[np.generic]) -> NDArray[np.uint8]:
    """[n, H, W] in 0 … 255, both."""
    return np.stack([np.rint(255 * strokes(image)).astype(np.uint8) for image in images])
