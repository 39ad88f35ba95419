"""An image file → pixels of one size and one mode, or the reason why it is unusable."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
LARGEST = 2**26  # pixels of a file, 8192×8192: a decoder needs half a gigabyte for them
GROUND = (255, 255, 255)  # behind transparent pixels
ORIENTATION = 0x0112  # the EXIF tag

Fit = Literal["crop", "stretch"]


class Unusable(Exception):
    """A file that cannot be trained on; the message says why."""


@dataclass(frozen=True)
class Header:
    """The header of an image file, read without its pixels.

    width, height  in pixels, after EXIF's rotation
    mode           Pillow's
    turned         EXIF rotates or mirrors the image
    """

    width: int
    height: int
    mode: str
    turned: bool
    transparent: bool


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Silence Pillow's warnings: this module checks the same, and warnings would interrupt the report."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def read_header(path: Path) -> Header:
    """Raises Unusable."""
    with _opened(path) as image:
        # Pillow decodes a whole PNG to find its EXIF, unless EXIF comes before the pixels.
        exif = image.getexif() if image.format != "PNG" or "exif" in image.info else {}
        turn = exif.get(ORIENTATION, 1)
        width, height = image.size if turn < 5 else image.size[::-1]
        return Header(width, height, image.mode, turn > 1, image.has_transparency_data)


def read_pixels(path: Path, size: tuple[int, int], channels: int, fit: Fit) -> NDArray[np.uint8]:
    """The pixels of an image file, uint8 [channels, height, width].

    size      (height, width)
    channels  1 for grey, 3 for RGB
    fit       "crop": the largest part around the middle that has the shape of `size`; "stretch": the whole image

    Raises Unusable.
    """
    height, width = size
    with _opened(path) as image:
        if image.format == "JPEG":
            image.draft(None, (2 * width, 2 * height))  # a far larger photograph is decoded at a lower resolution
        plain = _plain(ImageOps.exif_transpose(image)).convert("L" if channels == 1 else "RGB")
    if fit == "crop":
        scaled = ImageOps.fit(plain, (width, height), Image.Resampling.BICUBIC)
    else:
        scaled = plain.resize((width, height), Image.Resampling.BICUBIC)
    pixels: NDArray[np.uint8] = np.asarray(scaled)
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
    except UnidentifiedImageError as error:
        raise Unusable(f"no image, whatever its name says; images are {', '.join(FORMATS)}") from error
    except Exception as error:  # a broken file may raise anything in a decoder, and must not stop the others
        raise Unusable(f"broken: {error or type(error).__name__}") from error


def _too_large(what: str) -> Unusable:
    return Unusable(f"{what}: more than {LARGEST:,} would take too much memory; scale it down")


def _plain(image: Image.Image) -> Image.Image:
    """The image with 8 bits a channel, grey or RGB, without transparency. Raises Unusable."""
    if image.mode.startswith("I"):  # 16 bits, under different names in Pillow's versions
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise Unusable("pixels of 32 bits, whose range is unknown: convert it to 8 or 16 bits")
        return Image.fromarray((values.astype(np.uint32) // 257).astype(np.uint8))
    if image.mode == "F":
        raise Unusable("floating-point pixels, whose range is unknown: convert it to 8 or 16 bits")
    if image.has_transparency_data:
        picture = image.convert("RGBA")
        ground = Image.new("RGBA", picture.size, (*GROUND, 255))
        return Image.alpha_composite(ground, picture).convert("RGB")
    return image if image.mode in ("L", "RGB") else image.convert("L" if image.mode == "1" else "RGB")
