"""Images with a hint beside each: edges at random thresholds, or strokes as a hurried finger draws them."""

from concurrent.futures import ProcessPoolExecutor

import numpy as np
import torch
from rich.progress import track
from torch import Tensor
from torch.nn import functional as F

from model.conditions import HintKind
from model.hints import edges, grey, strokes
from training.data.ink import LOOKED_AT, is_ink
from training.data.training_set import DataError, FiniteSet, unchanged

LOW, HIGH = (0.03, 0.2), (0.05, 0.3)  # Canny's low threshold; what its high one has above that
CHUNK = 500  # images a process thins at a time

OF_SIDE = 28  # pixels a side, of images of which the pixels here are
SHIFT, TURN, STRETCH = 0.5, 0.08, 0.08  # standard deviations: pixels, radians, shares of the size
WAVER, KNOTS = 0.6, 5  # pixels by which lines waver, between so many points a side
PEN = (0.8, 2.0)  # how strongly the pen presses: faint, thin lines … wide ones
GAPS = 3  # at most, where the finger lost touch …
GAP = (0.8, 2.2)  # … of such radii, in pixels


class HintedImages:
    """A `TrainingSet` whose rows have the hint, in 0 … 1, as one channel more [rows, C + 1, H, W].

    Raises DataError where there are no strokes to follow.
    """

    def __init__(self, real: FiniteSet, kind: HintKind):
        self.config = real.config
        self.examples, self.held_out = real.examples, real.held_out
        if kind == "sketch" and not is_ink(real.examples.some(LOOKED_AT).rows):
            raise DataError(
                f"{self.config.dataset}: a sketch is of light strokes on a dark ground, which its images are not: use "
                f'the hint "canny"'
            )
        self._real = real
        self._kind = kind
        # What is augmented has strokes of its own, whenever it is drawn.
        once = kind == "sketch" and real.augment is unchanged
        self._strokes = _all_strokes(real.examples.rows) if once else None

    def draw(self, rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        index = torch.randint(len(self._real), (rows,), generator=generator)
        images = self._real.at(index, generator)
        if self._kind == "canny":
            hints = roughly_edged(images, generator)
        elif self._strokes is not None:
            hints = rough(self._strokes[index].float() / 255, generator)
        else:
            hints = rough(torch.from_numpy(_strokes_of(grey(images).numpy())).unsqueeze(1).float() / 255, generator)
        return torch.cat([images, hints], dim=1), self.examples.labels[index]


def roughly_edged(images: Tensor, generator: torch.Generator) -> Tensor:
    """Canny's edges [n, 1, H, W] of images [n, C, H, W] in 0 … 255, each at thresholds of its own (ZRA23 section 4)."""
    u = torch.rand(len(images), 2, generator=generator).numpy()
    low = LOW[0] + (LOW[1] - LOW[0]) * u[:, 0]
    high = low + HIGH[0] + (HIGH[1] - HIGH[0]) * u[:, 1]
    found = [edges(image, pair) for image, pair in zip(grey(images).numpy(), zip(low, high, strict=True), strict=True)]
    return torch.from_numpy(np.stack(found)).unsqueeze(1)


def rough(sketches: Tensor, generator: torch.Generator) -> Tensor:
    """Clean strokes [n, 1, H, W] in 0 … 1 → the same as drawn by hand: moved, turned, wavering, pressed, broken."""
    n, _, height, width = sketches.shape
    pixel = min(height, width) / OF_SIDE

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
    drawn = F.grid_sample(sketches, where, align_corners=False)
    drawn = (drawn * uniform(PEN, 1, 1, 1)).clamp(max=1)

    gaps = torch.rand(n, 1, generator=generator) * (GAPS + 1) > torch.arange(1, GAPS + 1)  # 0 … GAPS, each as often
    ink = drawn.flatten(1) + 1e-6  # a gap lies on a line; where there is none at all, anywhere
    at = torch.multinomial(ink, GAPS, generator=generator)
    down, across = torch.arange(height).view(-1, 1), torch.arange(width).view(1, -1)
    row, column = (of.view(n, GAPS, 1, 1) for of in (at // width, at % width))
    near = (down - row) ** 2 + (across - column) ** 2 < (pixel * uniform(GAP, GAPS, 1, 1)) ** 2
    broken = (near & gaps.view(n, GAPS, 1, 1)).any(1, keepdim=True)
    return torch.where(broken, torch.zeros(()), drawn)


def _all_strokes(images: Tensor) -> Tensor:
    """The clean strokes of every image, uint8 [n, 1, H, W]: a millisecond each, so on all cores and once."""
    chunks = [chunk.numpy() for chunk in images[:, 0].split(CHUNK)]
    if len(chunks) < 2:
        return torch.from_numpy(_strokes_of(chunks[0])).unsqueeze(1)
    with ProcessPoolExecutor() as pool:
        done = list(track(pool.map(_strokes_of, chunks), "thinning", total=len(chunks), transient=True))
    return torch.from_numpy(np.concatenate(done)).unsqueeze(1)


def _strokes_of(images: np.ndarray) -> np.ndarray:
    return np.stack([np.rint(255 * strokes(image)).astype(np.uint8) for image in images])
