"""Samples → PNG, contact sheet, zip, npy, csv. The same samples give the same bytes."""

import csv
import io
import json
import math
import zipfile
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

SHEET_LINE = 1  # pixels between the images of a contact sheet, before zoom
SHEET_GREY = 96


def png(image: np.ndarray, text: Mapping[str, str], zoom: int = 1) -> bytes:
    """uint8 [H, W] or [H, W, 3] → PNG, with `text` in its text chunks."""
    if zoom > 1:
        image = image.repeat(zoom, axis=0).repeat(zoom, axis=1)
    return save_png(Image.fromarray(image), text)


def sheet_size(n: int, height: int, width: int) -> tuple[int, int]:
    """(height, width) of a contact sheet, before zoom."""
    columns = math.ceil(math.sqrt(n))
    return math.ceil(n / columns) * (height + SHEET_LINE) - SHEET_LINE, columns * (width + SHEET_LINE) - SHEET_LINE


def contact_sheet(images: np.ndarray, text: Mapping[str, str], zoom: int = 1) -> bytes:
    """uint8 [n, H, W, …] → one PNG, nearly square, in reading order; a single image is itself."""
    n, height, width = images.shape[:3]
    if n == 1:
        return png(images[0], text, zoom)
    columns = math.ceil(math.sqrt(n))
    sheet = np.full((*sheet_size(n, height, width), *images.shape[3:]), SHEET_GREY, np.uint8)
    for index, image in enumerate(images):
        y, x = index // columns * (height + SHEET_LINE), index % columns * (width + SHEET_LINE)
        sheet[y : y + height, x : x + width] = image
    return png(sheet, text, zoom)


def archive(images: Sequence[bytes], records: Sequence[Mapping[str, object]]) -> bytes:
    """PNGs and their metadata.jsonl (the layout of Hugging Face's ImageFolder) → zip, with fixed timestamps."""
    names = [f"{index:04d}.png" for index in range(len(images))]
    lines = [json.dumps({"file_name": name, **record}) for name, record in zip(names, records, strict=True)]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        metadata = ("\n".join(lines) + "\n").encode()
        for name, content in [*zip(names, images, strict=True), ("metadata.jsonl", metadata)]:
            archive.writestr(zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), content)
    return buffer.getvalue()


def npy(data: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(data), allow_pickle=False)
    return buffer.getvalue()


def table(
    points: np.ndarray, columns: Sequence[str], labels: Sequence[str] | None, seeds: Sequence[int] | None = None
) -> bytes:
    """Points [n, d] → csv with a header: the columns, then label and seed where there are such. Numbers are as short as
    they can be read back."""
    more = {"label": labels, "seed": seeds}
    known = {own_column(name, columns): cells for name, cells in more.items() if cells is not None}
    rows = ([*map(str, point), *cells] for point, *cells in zip(points, *known.values(), strict=True))
    return csv_of([*columns, *known], rows)


def own_column(name: str, others: Collection[str]) -> str:
    """A name for a column that is not among those: label, or label_ where they have a label."""
    while name in others:
        name += "_"
    return name


def csv_of(header: Iterable[str], rows: Iterable[Iterable[object]]) -> bytes:
    """Rows → csv; what is None is an empty cell."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\r\n")  # RFC 4180
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue().encode()


def save_png(picture: Image.Image, text: Mapping[str, str]) -> bytes:
    """With `text` in its text chunks."""
    info = PngInfo()
    for key, value in text.items():
        info.add_itxt(key, value)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()
