"""Survey own data, a folder of images or a table, before anything is proposed."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.progress import track

from training.data.image_folder import Folder, ImageFile
from training.data.names import printable
from training.data.pixels import Header, Unusable, quiet_pillow, read_header, read_pixels
from training.data.training_set import DataError, FiniteSet, learned
from training.metrics.nearest_neighbours import nearest_distance

GREY_MODES = {"1", "L", "LA", "La", "F"}  # and all modes whose name begins with I
COLOURFUL = 12  # of 255: an image is grey if the channels of each pixel differ by less
EXAMINED = 200  # images whose colours are examined
THUMBNAIL = (32, 32)
SHOWN = 3  # sizes in a report
NAMED = 20  # classes, and files or lines that are left out, in a report
COSTLY = 0.1  # share of a table's lines: a column that costs so many is better left out
COMPARED = 1_000, 10_000  # held-out images, and images to train on, that are compared
NEAR_COPY = 0.02  # root mean square difference of pixels in 0 … 1: another compression, or a few changed pixels
SCARCE = 20  # rows of a class: fewer are memorised rather than learned


@dataclass(frozen=True)
class ImageSurvey:
    """The survey of a folder.

    headers  of the files that can be opened
    grey     whether all images are grey
    """

    folder: Folder
    headers: Sequence[Header]
    grey: bool

    @property
    def shapes(self) -> Counter[tuple[int, int]]:
        """(height, width) → the number of images."""
        return Counter((header.height, header.width) for header in self.headers)

    def lines(self) -> Iterator[str]:
        """The report for the user."""
        headers, sizes = self.headers, self.shapes
        some = [f"{width}×{height} ({count:,})" for (height, width), count in sizes.most_common(SHOWN)]
        more = len(sizes) - len(some)
        yield "sizes    " + ", ".join(some) + (f" and {more:,} more" if more > 0 else "")
        modes = ", ".join(f"{mode} ({count:,})" for mode, count in Counter(h.mode for h in headers).most_common())
        turned, transparent = sum(h.turned for h in headers), sum(h.transparent for h in headers)
        yield f"modes    {modes}" + (", but all are grey" if self.grey and "RGB" in modes else "")
        if turned:
            yield f"turned   {turned:,} by EXIF: they are turned upright"
        if transparent:
            yield f"clear    {transparent:,} with transparency: they are laid on white, or on black if white hides them"
        animated = sum(header.animated for header in headers)
        if animated:
            yield f"frames   {animated:,} with several frames: the first one is read"
        if self.folder.captioned:
            yield f"captions {sum(bool(file.caption) for file in self.folder.files):,}"


def survey_images(folder: Folder) -> ImageSurvey:
    """Open every file, and decode some for their colours. Raises DataError if no file can be opened."""

    def look(file: ImageFile) -> Header | None:
        try:
            return read_header(file.path)
        except Unusable:  # `image_set` names it
            return None

    files = folder.files
    with quiet_pillow(), ThreadPoolExecutor(os.cpu_count()) as pool:
        watched = Console().is_terminal
        looked = track(pool.map(look, files), "looking", total=len(files), transient=True, disable=not watched)
        headers = [header for header in looked if header is not None]
        if not headers:
            try:
                read_header(files[0].path)
            except Unusable as unusable:
                raise DataError(
                    f"{printable(folder.root)}: none of its {len(files):,} images can be read; {files[0].name}: "
                    f"{unusable}"
                ) from unusable
        grey = all(header.mode in GREY_MODES or header.mode.startswith("I") for header in headers) or not any(
            pool.map(_colourful, files[:: max(1, len(files) // EXAMINED)])
        )
    return ImageSurvey(folder, headers, grey)


def _colourful(file: ImageFile) -> bool:
    try:
        pixels = read_pixels(file.path, THUMBNAIL, channels=3, fit="stretch").astype(np.int16)
    except Unusable:
        return False
    return bool((pixels.max(0) - pixels.min(0)).max() >= COLOURFUL)


def count_lines(data: FiniteSet) -> Iterator[str]:
    """A report of the number of rows, in all and in each class."""
    labels = np.concatenate([data.examples.labels.numpy(), data.held_out.labels.numpy()])
    what = "images" if data.config.kind == "images" else f"points of {data.config.shape[0]} dimensions"
    classes = data.config.labels
    yield f"{len(labels):,} {what}" + (f" in {len(classes):,} classes" if classes else "")
    if not classes:
        return
    counts = np.bincount(labels, minlength=len(classes))
    width = max(len(name) for name in classes[:NAMED])
    for name, count in zip(classes[:NAMED], counts, strict=False):
        yield f"  {name:{width}} {count:8,}"
    if len(classes) > NAMED:
        yield f"  … and {len(classes) - NAMED:,} more, of {counts[NAMED:].min():,} to {counts[NAMED:].max():,}"
    scarce = [name for name, count in zip(classes, counts, strict=True) if count < SCARCE]
    if scarce:
        some = ", ".join(scarce[:SHOWN]) + (" …" if len(scarce) > SHOWN else "")
        yield f"few: {some} have fewer than {SCARCE}: their samples will be much like copies"


def near_copies(data: FiniteSet) -> int:
    """How many of the held-out images (at most COMPARED) hardly differ from one that is trained on; 0 for points."""
    if data.config.kind != "images":
        return 0
    held, trained = (
        part.some(most).rows.flatten(1).float() / 255
        for part, most in zip((data.held_out, learned(data)), COMPARED, strict=True)
    )
    difference = nearest_distance(held, trained) / held.shape[1] ** 0.5
    return int((difference < NEAR_COPY).sum())


def left_out_lines(data: FiniteSet, label: str | None = None) -> Iterator[str]:
    """A report of the files or lines that cannot be trained on: what each column costs, then each with its reason.

    label  the column that was asked for as the class
    """
    left_out = data.left_out
    rows = len(data.examples) + len(data.held_out) + len(left_out)
    if left_out:
        yield f"left out: {len(left_out):,}, which cannot be trained on"
    costs = Counter(column for one in left_out for column in one.columns)
    alone = Counter(one.columns[0] for one in left_out if len(one.columns) == 1)
    for column, count in costs.most_common(NAMED):
        instead = f" in place of --label {column}" if column == label else ""
        keeps = f"; --without {column}{instead} keeps {alone[column]:,} of them"
        keeps = keeps if alone[column] >= COSTLY * rows else ""
        yield f"  column {column!r} costs {count:,} of {rows:,} lines{keeps}"
    for one in left_out[:NAMED]:
        yield f"  {one.name}: {one.reason}"
    if len(left_out) > NAMED:
        yield f"  … and {len(left_out) - NAMED:,} more"
