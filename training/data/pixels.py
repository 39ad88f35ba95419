"""An image file → pixels of one size and one mode, or the reason why not."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageOps

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
LARGEST = 2**26  # pixels of a file, 8192×8192: a decoder needs half a gigabyte for them
GROUND = (255, 255, 255)  # what is seen through transparent pixels
ORIENTATION = 0x0112  # of EXIF

Fit = Literal["crop", "stretch"]


class Unusable(Exception):
    """A file that cannot be trained on; the message says why."""


@dataclass(frozen=True)
class Header:
    """What a file says of itself before its pixels are read: sides as they are shown, Pillow's mode."""

    width: int
    height: int
    mode: str
    turned: bool  # by EXIF
    transparent: bool


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """What Pillow warns of is checked here, and would interrupt the report."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def read_header(path: Path) -> Header:
    """Raises Unusable."""
    with _opened(path) as image:
        # To look for EXIF in a PNG is to decode it, but for where it stands in front.
        exif = image.getexif() if image.format != "PNG" or "exif" in image.info else {}
        turn = exif.get(ORIENTATION, 1)
        width, height = image.size if turn < 5 else image.size[::-1]
        return Header(width, height, image.mode, turn > 1, image.has_transparency_data)


def read_pixels(path: Path, size: tuple[int, int], channels: int, fit: Fit) -> np.ndarray:
    """uint8 [channels, height, width]. Raises Unusable."""
    height, width = size
    with _opened(path) as image:
        if image.format == "JPEG":
            image.draft(None, (2 * width, 2 * height))  # decodes less of a photograph that is far larger
        plain = _plain(ImageOps.exif_transpose(image)).convert("L" if channels == 1 else "RGB")
    if fit == "crop":
        scaled = ImageOps.fit(plain, (width, height), Image.Resampling.BICUBIC)
    else:
        scaled = plain.resize((width, height), Image.Resampling.BICUBIC)
    pixels = np.asarray(scaled)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > LARGEST:
                raise _too_large(f"{image.width}×{image.height} pixels")
            yield image
    except Unusable:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large("far too many pixels") from error
    except Image.UnidentifiedImageError as error:
        raise Unusable(f"no image, whatever its name says; images are {', '.join(FORMATS)}") from error
    except Exception as error:  # whatever a broken file makes a decoder raise: the others are read
        raise Unusable(f"broken: {error or type(error).__name__}") from error


def _too_large(what: str) -> Unusable:
    return Unusable(f"{what}: more than {LARGEST:,} would take too much memory; scale it down")


def _plain(image: Image.Image) -> Image.Image:
    """8 bits, grey or RGB, nothing transparent."""
    if image.mode.startswith("I"):  # 16 bits, whatever Pillow's version calls it
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise Unusable("pixels of 32 bits, whose range nobody knows: convert it to 8 or 16 bits")
        return Image.fromarray((values.astype(np.uint32) // 257).astype(np.uint8))
    if image.mode == "F":
        raise Unusable("floating-point pixels, whose range nobody knows: convert it to 8 or 16 bits")
    if image.has_transparency_data:
        picture = image.convert("RGBA")
        ground = Image.new("RGBA", picture.size, (*GROUND, 255))
        return Image.alpha_composite(ground, picture).convert("RGB")
    return image if image.mode in ("L", "RGB") else image.convert("L" if image.mode == "1" else "RGB")
