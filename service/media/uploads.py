"""Somebody's PNG or JPEG → pixels. Whatever the bytes are, they become pixels or a PictureError, within bounds."""

import base64
import binascii
import io
import re
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import unquote

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("PNG", "JPEG")
MAX_BYTES = 1024 * 1024
MAX_SIDE = 1024
MAX_SCANS = 100  # of a JPEG: each goes over all pixels, and may be a few bytes; cameras and editors make about ten
MAX_BASE64 = 4 * -(-MAX_BYTES // 3) * 78 // 76 + 100  # characters: line ends after each 76, a data URL's head
START_OF_SCAN = b"\xff\xda"  # ITU-T T.81, table B.1; not within a scan, where FF is followed by 00
DATA_URL = re.compile(r"data:(image/[^;]*|(application|binary)/octet-stream)?(;[^;]*)*;base64", re.IGNORECASE)
URL_SAFE = str.maketrans("-_", "+/")


R = TypeVar("R")


class PictureError(ValueError):
    """What was given is no picture that can be used; the message says why."""


def from_base64(text: str) -> bytes:
    """The bytes that base64, or a data URL of it (RFC 2397), stands for; also in the alphabet for URLs, and unpadded.

    Which type of image a data URL names does not count: what the bytes are is looked at anyway. Raises PictureError.
    """
    text = text.strip()
    if text[:5].lower() == "data:":
        head, _, text = text.partition(",")
        if not DATA_URL.fullmatch(head):
            raise PictureError("not base64 of a PNG or a JPEG: a data URL begins with data:image/png;base64,")
        text = unquote(text)
    encoded = "".join(text.split()).translate(URL_SAFE).rstrip("=")
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise PictureError(f"not base64: {str(error).lower()}") from error


def decoded(content: bytes, *, colour: bool = False) -> np.ndarray:
    """uint8 [H, W], or [H, W, 3] in colour: what the picture looks like, upright, on a ground that its ink stands out
    from.

    Raises PictureError for what is no PNG or JPEG, is broken, animated, or larger than MAX_BYTES, MAX_SIDE or
    MAX_SCANS; nothing is decompressed before its size is known.
    """
    return _pixels(content, lambda image: _seen(image, colour))


def transparency(content: bytes) -> np.ndarray | None:
    """uint8 [H, W]: how much of what lies behind the picture is seen, upright; None for a picture that hides it all.

    Raises PictureError as `decoded` does.
    """
    return _pixels(content, _unseen)


def _pixels(content: bytes, of: Callable[[Image.Image], R]) -> R:
    """What `of` makes of the loaded picture, upright."""
    if len(content) > MAX_BYTES:
        raise PictureError(f"{len(content):,} bytes are too many: at most {MAX_BYTES:,}")
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if max(image.size) > MAX_SIDE:
                raise PictureError(f"{image.width}×{image.height} pixels are too many: at most {MAX_SIDE}×{MAX_SIDE}")
            is_png = image.format == "PNG"
            if is_png and getattr(image, "n_frames", 1) > 1:
                raise PictureError("an animation: give one picture")
            if not is_png and content.count(START_OF_SCAN) > MAX_SCANS:
                raise PictureError(f"a JPEG of too many scans: at most {MAX_SCANS}")
            image.load()
            return of(ImageOps.exif_transpose(image))
    except PictureError:
        raise
    except Image.DecompressionBombError as error:
        raise PictureError(f"too many pixels: at most {MAX_SIDE}×{MAX_SIDE}") from error
    except UnidentifiedImageError as error:
        raise PictureError("not a picture: a PNG or a JPEG is needed") from error
    except Exception as error:  # a decoder raises all sorts of things over bytes that are broken
        raise PictureError(f"a broken picture: it cannot be decoded ({type(error).__name__})") from error


def _unseen(image: Image.Image) -> np.ndarray | None:
    if not image.has_transparency_data:
        return None
    return 255 - np.asarray(image.convert("RGBA"))[..., 3]


def _seen(image: Image.Image, colour: bool) -> np.ndarray:
    if image.mode.startswith("I") or image.mode == "F":  # 16 bits a pixel
        wide = np.asarray(image, dtype=np.float32)
        image = Image.fromarray((wide / 257).clip(0, 255).astype(np.uint8))
    if not image.has_transparency_data:
        return np.asarray(image.convert("RGB" if colour else "L"))
    grey, alpha = np.moveaxis(np.asarray(image.convert("LA"), dtype=np.float32), -1, 0)
    seen = alpha.sum()
    # Through what is transparent one sees a ground: white paper behind dark ink, black behind light.
    ground = 0.0 if seen and (grey * alpha).sum() / seen > 127.5 else 255.0
    ink = grey
    if colour:
        ink, alpha = np.asarray(image.convert("RGBA"), dtype=np.float32)[..., :3], alpha[..., None]
    on_ground: np.ndarray = (ground + (ink - ground) * alpha / 255).round().astype(np.uint8)
    return on_ground
