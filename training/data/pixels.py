"""An image file → pixels of one size and one mode, or the reason why it is unusable."""

import re
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
SIXTEEN_BITS = 2**16 - 1  # white in a grey image of 16 bits, unless a set holds less
WHITE, BLACK = (255, 255, 255), (0, 0, 0)  # behind transparent pixels
VISIBLE = 32  # of 255: a picture on white whose pixels differ by less cannot be seen there
DARK = 32  # of 255: colours of 16 bits that are all darker have fewer bits, and Pillow reads the upper eight alone
ORIENTATION = 0x0112  # the EXIF tag
PHOTOMETRIC, WHITE_IS_ZERO = 262, 0  # the tag of TIFF, and its value in a negative
SIXTEEN_BIT_MODE = re.compile(r";16[BLN]")  # in Pillow's raw modes; BGR;16 has 5 and 6 bits a channel

Fit = Literal["crop", "stretch"]


class Unusable(Exception):
    """A file that cannot be trained on; the message says why."""


@dataclass(frozen=True)
class Header:
    """The header of an image file, read without its pixels.

    width, height  in pixels, after EXIF's rotation
    mode           Pillow's
    turned         EXIF rotates or mirrors the image
    animated       it has further frames
    """

    width: int
    height: int
    mode: str
    turned: bool
    transparent: bool
    animated: bool


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
        return Header(width, height, image.mode, turn > 1, image.has_transparency_data, _is_animated(image))


def _is_animated(image: Image.Image) -> bool:
    return image.format != "TIFF" and bool(getattr(image, "is_animated", False))


def pages_of(path: Path) -> list[int]:
    """The pages of a TIFF that have the size and mode of the first one: further images, and no thumbnails of it."""
    try:
        with quiet_pillow(), _opened(path) as image:
            first, pages = (image.size, image.mode), [0]
            for page in range(1, getattr(image, "n_frames", 1)):
                image.seek(page)
                if (image.size, image.mode) == first:
                    pages.append(page)
            return pages
    except Unusable:  # `read_pixels` says why
        return [0]


def largest_value(path: Path, page: int = 0) -> int:
    """The largest pixel of a grey image of 16 bits; 0 for any other image, and for a file that is unusable."""
    try:
        with _opened(path, page) as image:
            return int(_sixteen_bits(image).max()) if image.mode.startswith("I") else 0
    except Unusable:
        return 0


def read_pixels(
    path: Path, size: tuple[int, int], channels: int, fit: Fit, page: int = 0, white: int = SIXTEEN_BITS
) -> NDArray[np.uint8]:
    """The pixels of an image file, uint8 [channels, height, width].

    size      (height, width)
    channels  1 for grey, 3 for RGB
    fit       "crop": the largest part around the middle that has the shape of `size`; "stretch": the whole image
    page      of a TIFF
    white     the value of white in a grey image of 16 bits

    Raises Unusable.
    """
    height, width = size
    with _opened(path, page) as image:
        if image.format == "JPEG":
            image.draft(None, (2 * width, 2 * height))  # a far larger photograph is decoded at a lower resolution
        sixteen, negative = _has_sixteen_bits(image), _is_negative(image)
        plain = _plain(ImageOps.exif_transpose(image), white, sixteen).convert("L" if channels == 1 else "RGB")
        if negative:
            plain = ImageOps.invert(plain)
    if fit == "crop":
        scaled = ImageOps.fit(plain, (width, height), Image.Resampling.BICUBIC)
    else:
        scaled = plain.resize((width, height), Image.Resampling.BICUBIC)
    pixels: NDArray[np.uint8] = np.asarray(scaled)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


@contextmanager
def _opened(path: Path, page: int = 0) -> Iterator[Image.Image]:
    try:
        with Image.open(path, formats=FORMATS) as image:
            if page:
                image.seek(page)
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


def _has_sixteen_bits(image: Image.Image) -> bool:
    """Has each channel 16 bits in the file? Of an image that is not decoded yet."""
    tiles = getattr(image, "tile", None)  # parts of the file: (codec, box, offset, arguments of the decoder)
    if not tiles:
        return False
    arguments = tiles[0][3]
    raw_mode = arguments if isinstance(arguments, str) else str(arguments[0])
    return SIXTEEN_BIT_MODE.search(raw_mode) is not None


def _is_negative(image: Image.Image) -> bool:
    """Is it a TIFF in which 0 is white? Pillow turns only those of up to 8 bits."""
    return image.mode.startswith("I") and getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == WHITE_IS_ZERO


def _plain(image: Image.Image, white: int, sixteen: bool) -> Image.Image:
    """The image with 8 bits a channel, grey or RGB, without transparency. Raises Unusable.

    white    of a grey image of 16 bits
    sixteen  whether the file has 16 bits a channel
    """
    if image.mode.startswith("I"):  # 16 bits, under different names in Pillow's versions
        return Image.fromarray((_sixteen_bits(image) * 255 // white).clip(0, 255).astype(np.uint8))
    if image.mode == "F":
        raise Unusable("floating-point pixels, whose range is unknown: convert it to 8 or 16 bits")
    if sixteen and 0 < np.asarray(image.convert("RGB")).max() < DARK:
        raise Unusable("colours of 16 bits that are nearly black, as of a camera of 12 bits: convert it to 8 bits")
    if image.has_transparency_data:
        return _on_ground(image.convert("RGBA"))
    return image if image.mode in ("L", "RGB") else image.convert("L" if image.mode == "1" else "RGB")


def _sixteen_bits(image: Image.Image) -> NDArray[np.uint32]:
    """The pixels of a grey image of 16 or 32 bits. Raises Unusable if one needs more than 16."""
    values = np.asarray(image)
    if values.min() < 0 or values.max() > SIXTEEN_BITS:
        raise Unusable("pixels of 32 bits, whose range is unknown: convert it to 8 or 16 bits")
    return values.astype(np.uint32)


def _on_ground(picture: Image.Image) -> Image.Image:
    """A picture RGBA laid on white; on black, if nothing of it can be seen on white."""
    on_white, on_black = (
        Image.alpha_composite(Image.new("RGBA", picture.size, (*ground, 255)), picture).convert("RGB")
        for ground in (WHITE, BLACK)
    )
    seen = np.asarray(on_white)
    hidden = int(seen.max()) - int(seen.min()) < VISIBLE and np.asarray(picture)[..., 3].any()
    return on_black if hidden else on_white
