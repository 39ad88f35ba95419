"""Samples → PNG, contact sheet, zip, npy, csv, scatter picture. The same samples give the same bytes."""

import csv
import io
import json
import math
import zipfile
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

SHEET_LINE = 1  # pixels between the images of a contact sheet, before zoom
SHEET_GREY = 96

SCATTER_SIDE = 640
SCATTER_MARGIN = 48
SCATTER_SMOOTHING = 3  # drawn so much larger, then shrunk
INK, FAINT, PAPER = (60, 64, 72), (226, 228, 232), (255, 255, 255)
# Distinct for most kinds of colour vision (Okabe & Ito 2008); classes beyond the eighth begin anew.
PALETTE = (
    (0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167),
    (230, 159, 0), (86, 180, 233), (120, 94, 60), (0, 0, 0),
)  # fmt: skip


def png(image: np.ndarray, text: Mapping[str, str], zoom: int = 1) -> bytes:
    """uint8 [H, W] or [H, W, 3] → PNG, with `text` in its text chunks."""
    if zoom > 1:
        image = image.repeat(zoom, axis=0).repeat(zoom, axis=1)
    return _save(Image.fromarray(image), text)


def contact_sheet(images: np.ndarray, text: Mapping[str, str], zoom: int = 1) -> bytes:
    """uint8 [n, H, W, …] → one PNG, nearly square, in reading order; a single image is itself."""
    n, height, width = images.shape[:3]
    if n == 1:
        return png(images[0], text, zoom)
    columns = math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    pitch_y, pitch_x = height + SHEET_LINE, width + SHEET_LINE
    sheet = np.full(
        (rows * pitch_y - SHEET_LINE, columns * pitch_x - SHEET_LINE, *images.shape[3:]), SHEET_GREY, np.uint8
    )
    for index, image in enumerate(images):
        y, x = index // columns * pitch_y, index % columns * pitch_x
        sheet[y : y + height, x : x + width] = image
    return png(sheet, text, zoom)


def archive(images: Sequence[bytes], records: Sequence[Mapping]) -> bytes:
    """PNGs and their metadata.jsonl (the layout of Hugging Face's ImageFolder) → zip, with fixed timestamps."""
    names = [f"{index:04d}.png" for index in range(len(images))]
    lines = [json.dumps({"file_name": name, **record}) for name, record in zip(names, records, strict=True)]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in [*zip(names, images, strict=True), ("metadata.jsonl", "\n".join(lines) + "\n")]:
            archive.writestr(zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), content)
    return buffer.getvalue()


def npy(data: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(data), allow_pickle=False)
    return buffer.getvalue()


def table(points: np.ndarray, labels: Sequence[str] | None) -> bytes:
    """float32 [n, d] → csv with a header: x, y (x0, x1, … in other dimensions), and label where there is one."""
    d = points.shape[1]
    header = ["x", "y"] if d == 2 else [f"x{i}" for i in range(d)]
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\r\n")  # RFC 4180
    writer.writerow(header + (["label"] if labels else []))
    for index, point in enumerate(points):
        writer.writerow([str(value) for value in point] + ([labels[index]] if labels else []))
    return buffer.getvalue().encode()


def scatter(points: np.ndarray, classes: np.ndarray, text: Mapping[str, str]) -> bytes:
    """The first two dimensions of float32 [n, d], on equal axes, coloured by class (int [n])."""
    flat = points[:, :2] if points.shape[1] > 1 else np.column_stack([points[:, 0], np.zeros(len(points))])
    low, high = flat.min(0), flat.max(0)
    centre, span = (low + high) / 2, max(float((high - low).max()), 1e-6) * 1.05
    factor = SCATTER_SMOOTHING
    side, margin = SCATTER_SIDE * factor, SCATTER_MARGIN * factor
    scale = (side - 2 * margin) / span
    picture = Image.new("RGB", (side, side), PAPER)
    draw = ImageDraw.Draw(picture)

    def at(x: float, y: float) -> tuple[float, float]:
        return side / 2 + (x - centre[0]) * scale, side / 2 - (y - centre[1]) * scale

    for tick in _ticks(centre[0] - span / 2, centre[0] + span / 2):
        x, _ = at(tick, 0)
        draw.line([(x, margin), (x, side - margin)], fill=FAINT, width=factor)
        draw.text((x, side - margin * 0.55), f"{tick:g}", fill=INK, anchor="mm", font_size=13 * factor)
    for tick in _ticks(centre[1] - span / 2, centre[1] + span / 2):
        _, y = at(0, tick)
        draw.line([(margin, y), (side - margin, y)], fill=FAINT, width=factor)
        draw.text((margin * 0.5, y), f"{tick:g}", fill=INK, anchor="mm", font_size=13 * factor)
    radius = factor * (3.0 if len(flat) <= 1000 else 1.6)
    for (x, y), number in zip(flat.tolist(), classes.tolist(), strict=True):
        u, v = at(x, y)
        draw.ellipse([u - radius, v - radius, u + radius, v + radius], fill=PALETTE[number % len(PALETTE)])
    return _save(picture.resize((SCATTER_SIDE, SCATTER_SIDE), Image.Resampling.LANCZOS), text)


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers between."""
    raw = (high - low) / 5
    magnitude = 10.0 ** math.floor(math.log10(raw))
    pitch = next(step * magnitude for step in (1, 2, 5, 10) if step * magnitude >= raw)
    return [round(i * pitch, 10) for i in range(math.ceil(low / pitch), math.floor(high / pitch) + 1)]


def _save(picture: Image.Image, text: Mapping[str, str]) -> bytes:
    info = PngInfo()
    for key, value in text.items():
        info.add_itxt(key, value)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()
