"""Points → a picture of two of their dimensions, or of one. The same points give the same bytes."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw

from service.media.encoding import save_png

SIDE, MARGIN = 640, 48  # pixels
SMOOTHING = 3  # drawn so much larger, then shrunk
ROOM = 1.05  # of what the points span
MANY = 1000  # points, from which on they are drawn smaller
BINS = 40
ROUNDING = 1e-12  # of a value
NAME_LENGTH = 60  # characters of a dimension's name that are shown
INK, FAINT, PAPER = (60, 64, 72), (226, 228, 232), (255, 255, 255)
# Distinct for most kinds of colour vision (Okabe & Ito 2008); classes beyond the eighth begin anew.
PALETTE = (
    (0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167),
    (230, 159, 0), (86, 180, 233), (120, 94, 60), (0, 0, 0),
)  # fmt: skip


def scatter(
    points: np.ndarray, classes: np.ndarray, text: Mapping[str, str], names: Sequence[str] = ("", ""), *, equal: bool
) -> bytes:
    """float32 [n, 2] → PNG, coloured by class (int [n]).

    names  of the two axes
    equal  both in the same unit; else each fills its side
    """
    low, high = points.min(0).astype(float), points.max(0).astype(float)
    span = _span(low, high) * ROOM
    frame = _Frame((low + high) / 2, np.maximum(span, span.max() * equal))
    frame.grid(0, names[0])
    frame.grid(1, names[1])
    radius = SMOOTHING * (3.0 if len(points) <= MANY else 1.6)
    for (x, y), number in zip(points.tolist(), classes.tolist(), strict=True):
        u, v = frame.at(x, y)
        frame.draw.ellipse([u - radius, v - radius, u + radius, v + radius], fill=PALETTE[number % len(PALETTE)])
    return frame.png(text)


def histogram(points: np.ndarray, classes: np.ndarray, text: Mapping[str, str], name: str = "") -> bytes:
    """float32 [n, 1] → PNG: how many lie where, the classes (int [n]) on top of each other."""
    values = points[:, 0].astype(float)
    low, high = values.min(), values.max()
    room = _span(low, high) * (ROOM - 1) / 2
    edges = np.linspace(low - room, high + room, BINS + 1)
    numbers = np.unique(classes)
    counts = np.stack([np.histogram(values[classes == number], edges)[0] for number in numbers])
    top = np.concatenate([np.zeros((1, BINS), int), counts.cumsum(0)])
    highest = float(top.max())
    frame = _Frame(np.array([(low + high) / 2, highest * ROOM / 2]), np.array([edges[-1] - edges[0], highest * ROOM]))
    frame.grid(0, name)
    frame.grid(1, "points")
    for layer, number in enumerate(numbers.tolist()):
        for index in range(BINS):
            left, bottom = frame.at(edges[index], top[layer, index])
            right, upper = frame.at(edges[index + 1], top[layer + 1, index])
            if bottom > upper:
                frame.draw.rectangle([left, upper, right - SMOOTHING, bottom], fill=PALETTE[number % len(PALETTE)])
    return frame.png(text)


class _Frame:
    """A square of paper that shows `span` around `centre`, both [2], in the points' own units."""

    def __init__(self, centre: np.ndarray, span: np.ndarray):
        self._centre, self._span = centre, span
        self._side, self._margin = SIDE * SMOOTHING, MARGIN * SMOOTHING
        self._scale = (self._side - 2 * self._margin) / span
        self._picture = Image.new("RGB", (self._side, self._side), PAPER)
        self.draw = ImageDraw.Draw(self._picture)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where on the paper that is, in pixels from its upper left corner."""
        u = self._side / 2 + (x - self._centre[0]) * self._scale[0]
        v = self._side / 2 - (y - self._centre[1]) * self._scale[1]
        return float(u), float(v)

    def grid(self, axis: int, name: str) -> None:
        """Lines at about five round numbers across that axis, and its name at its end."""
        side, margin, size = self._side, self._margin, 13 * SMOOTHING
        low = self._centre[axis] - self._span[axis] / 2
        ticks = _ticks(low, low + self._span[axis])
        digits = _digits(ticks)
        for tick in ticks:
            u, v = self.at(tick, tick)
            line: tuple[float, ...] = (u, margin, u, side - margin)
            at: tuple[float, float] = (u, side - margin * 0.55)
            if axis == 1:
                line, at = (margin, v, side - margin, v), (margin * 0.5, v)
            self.draw.line(line, fill=FAINT, width=SMOOTHING)
            self.draw.text(at, f"{tick:.{digits}g}", fill=INK, anchor="mm", font_size=size)
        name = " ".join(name.split())
        shown = name if len(name) <= NAME_LENGTH else name[: NAME_LENGTH - 1] + "…"
        at, anchor = ((side - margin, side - margin * 0.2), "rb") if axis == 0 else ((margin, margin * 0.8), "lb")
        self.draw.text(at, shown, fill=INK, anchor=anchor, font_size=size)

    def png(self, text: Mapping[str, str]) -> bytes:
        return save_png(self._picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS), text)


def _span(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """high − low; where all points are alike, but for a rounding, a span that can be shown."""
    largest = np.maximum(np.abs(low), np.abs(high))
    alike = np.where(largest > 0, 1e-6 * largest, 1e-6)
    span: np.ndarray = np.where(high - low > ROUNDING * largest, high - low, alike)
    return span


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers between."""
    raw = (high - low) / 5
    magnitude = 10.0 ** math.floor(math.log10(raw))
    pitch = next(step * magnitude for step in (1, 2, 5, 10) if step * magnitude >= raw)
    digits = 1 - math.floor(math.log10(pitch))
    return [round(i * pitch, digits) for i in range(math.ceil(low / pitch), math.floor(high / pitch) + 1)]


def _digits(ticks: Sequence[float]) -> int:
    """Of the numbers at the ticks, so many that no two look the same; six at least."""
    return next((n for n in range(6, 17) if len({f"{tick:.{n}g}" for tick in ticks}) == len(ticks)), 17)
