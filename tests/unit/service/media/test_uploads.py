"""Bytes made into pixels: any bytes."""

import base64
import contextlib
import io
import random
import resource
import struct
import textwrap
import zlib
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

from model.conditions import CONTROL_KINDS
from model.hints import HintError, given_hint
from service.media.uploads import MAX_BASE64, MAX_BYTES, START_OF_SCAN, PictureError, decoded, from_base64

GREY = np.add.outer(np.arange(40), np.arange(60)).astype(np.uint8) * 2


def saved(image: Image.Image, format: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int, data: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_grey_comes_through_as_it_is_and_everything_else_as_it_looks():
    image = Image.fromarray(GREY)
    np.testing.assert_array_equal(decoded(saved(image)), GREY)
    np.testing.assert_array_equal(decoded(saved(image.convert("RGB"))), GREY)
    np.testing.assert_array_equal(decoded(saved(Image.fromarray(GREY.astype(np.uint16) * 257))), GREY)
    palette = image.convert("P")
    np.testing.assert_array_equal(decoded(saved(palette)), np.asarray(palette.convert("L")))
    assert np.abs(decoded(saved(image, "JPEG", quality=95)).astype(int) - GREY).max() < 8
    np.testing.assert_array_equal(decoded(saved(Image.fromarray(GREY > 60))), np.where(GREY > 60, 255, 0))


@pytest.mark.parametrize(("ink", "ground"), [(0, 255), (255, 0)])
def test_ink_on_nothing_stands_out(ink, ground):
    image = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    image.paste((ink, ink, ink, 255), (5, 5, 10, 15))
    pixels = decoded(saved(image))
    assert pixels[7, 7] == ink and pixels[0, 0] == ground


def test_a_photograph_is_turned_as_its_camera_was():
    image, exif = Image.fromarray(GREY), Image.Exif()
    exif[0x0112] = 6
    assert decoded(saved(image, "JPEG", exif=exif)).shape == (60, 40)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not a picture"),
        (b"hello", "not a picture"),
        (saved(Image.fromarray(GREY), "GIF"), "a PNG or a JPEG is needed"),
        (saved(Image.fromarray(GREY), "WEBP"), "a PNG or a JPEG is needed"),
        (saved(Image.fromarray(GREY))[:-40], "broken"),
        (saved(Image.fromarray(GREY), "JPEG")[:200], "broken|not a picture"),
        (saved(Image.new("L", (1025, 10))), "1025×10 pixels are too many"),
        (png_of(60_000, 60_000, zlib.compress(bytes(1000))), "too many"),
        (bytes(MAX_BYTES + 1), "bytes are too many"),
    ],
)
def test_what_is_no_usable_picture_says_why(content, says):
    with pytest.raises(PictureError, match=says):
        decoded(content)


def test_an_animation_is_refused():
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    with pytest.raises(PictureError, match="animation"):
        decoded(saved(frames[0], save_all=True, append_images=frames[1:]))


def test_of_a_photograph_with_a_preview_the_photograph_is_taken():
    """Telephones put a second picture behind the first (CIPA DC-007)."""
    photograph = Image.fromarray(GREY)
    content = saved(photograph, "MPO", save_all=True, append_images=[Image.new("L", (4, 4))])
    assert Image.open(io.BytesIO(content)).n_frames == 2
    np.testing.assert_array_equal(decoded(content), decoded(saved(photograph, "JPEG")))


def bombs() -> list[bytes]:
    """A gigabyte of zeros behind a small header, as pixels and as text."""
    bomb = zlib.compressobj(9)
    packed = b"".join(bomb.compress(bytes(2**20)) for _ in range(1024)) + bomb.flush()
    text = png_of(30, 30, zlib.compress(bytes(30 * 31)))
    text = text[:33] + chunk(b"zTXt", b"a\x00\x00" + packed[: MAX_BYTES // 2]) + text[33:]
    return [png_of(30, 30, packed[: MAX_BYTES // 2]), text]


def grown_by(files: list[bytes]) -> int:
    """KiB by which the process that decodes them grew."""
    decoded(saved(Image.fromarray(GREY)))  # what Pillow loads the first time
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for content in files:
        with contextlib.suppress(PictureError):
            decoded(content)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before


def test_a_bomb_is_not_decompressed():
    pixels, text = bombs()
    assert decoded(pixels).shape == (30, 30)
    with pytest.raises(PictureError):
        decoded(text)
    # In a process of its own, forked by a small one: the most that this one ever took is beyond what a bomb would take,
    # and Linux hands that on to whoever it starts.
    with ProcessPoolExecutor(1, get_context("forkserver")) as pool:
        assert pool.submit(grown_by, [pixels, text]).result() < 100 * 1024


def test_scans_that_cost_more_than_they_weigh_are_refused():
    content = saved(Image.fromarray(GREY), "JPEG", progressive=True)
    last = content.rindex(START_OF_SCAN)
    assert decoded(content).shape == GREY.shape
    with pytest.raises(PictureError, match="too many scans: at most 100"):
        decoded(content[:last] + 100 * content[last:-2] + content[-2:])


def test_base64_as_it_is_written_everywhere():
    content = saved(Image.fromarray(GREY))
    plain = base64.b64encode(content).decode()
    for text in (plain, "data:image/png;base64," + plain, "\r\n".join(textwrap.wrap(plain, 76))):
        assert from_base64(text) == content
    for head in ("image/jpg", "image/PNG", "image/png;charset=utf-8", "application/octet-stream", "", "IMAGE/x-png"):
        assert from_base64(f"data:{head};base64,{plain}") == content
    assert from_base64(f" DATA:image/png;BASE64,\n{plain}\n") == content
    assert from_base64("data:image/png;base64," + quote(plain, safe="")) == content
    for bytes_ in (content, content[:-1], content[:-2], bytes(range(256))):
        assert from_base64(base64.urlsafe_b64encode(bytes_).decode().rstrip("=")) == bytes_
    for text in ("data:image/png,abc", "data:text/html;base64," + plain, "data:image/png;base64" + plain, "data:"):
        with pytest.raises(PictureError, match="not base64 of a PNG or a JPEG"):
            from_base64(text)
    for text in ("a", "####", plain[:-1] + "é", "data:text/html;base64," + plain, "data:image/png,abc"):
        with pytest.raises(PictureError, match="not base64"):
            from_base64(text)


def test_the_largest_picture_may_be_in_lines():
    lines = base64.encodebytes(bytes(MAX_BYTES)).decode().replace("\n", "\r\n")
    assert len("data:image/jpeg;base64," + lines) <= MAX_BASE64
    assert len(from_base64(lines)) == MAX_BYTES


def fuzz(count: int) -> int:
    """Mutated files; how many of them were still pictures."""
    draw = random.Random(0)
    seeds = [
        saved(Image.fromarray(GREY)),
        saved(Image.fromarray(GREY).convert("RGB"), "JPEG"),
        saved(Image.fromarray(GREY).convert("P")),
        saved(Image.fromarray(GREY).convert("RGBA"), optimize=True),
        saved(Image.fromarray(GREY.astype(np.uint16) * 257)),
        saved(Image.fromarray(GREY).convert("CMYK"), "JPEG", progressive=True),
    ]
    pictures = 0
    for _ in range(count):
        content = bytearray(draw.choice(seeds))
        for _ in range(draw.choice([1, 1, 2, 5, 30])):
            at = draw.randrange(len(content))
            how = draw.random()
            if how < 0.6:
                content[at] = draw.randrange(256)
            elif how < 0.75:
                del content[at : at + draw.randrange(1, 40)]
            elif how < 0.9:
                content[at:at] = draw.randbytes(draw.randrange(1, 40))
            else:
                content = content[:at] + bytearray(draw.choice(seeds))[at:]
            content = content or bytearray(b"x")
        try:
            pixels = decoded(bytes(content))
        except PictureError:
            continue
        pictures += 1
        assert pixels.dtype == np.uint8 and pixels.ndim == 2 and max(pixels.shape) <= 1024
        with contextlib.suppress(HintError):
            given_hint(pixels, draw.choice(CONTROL_KINDS), (28, 28))
    return pictures


@pytest.mark.parametrize("count", [2_000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_mutated_files_are_pictures_or_say_why(count):
    assert count / 20 < fuzz(count) < count * 0.95
