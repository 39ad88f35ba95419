"""Pictures made into hints."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from model.hints import INK, HintError, edges, given_hint, grey, strokes

SIZE = (28, 28)


def seven(side: int = 200, pen: int = 14, ink: int = 255, ground: int = 0, at: tuple[int, int] = (0, 0)) -> np.ndarray:
    picture = Image.new("L", (side, side), ground)
    corners = [(0.3, 0.2), (0.7, 0.2), (0.45, 0.8)]
    line = [(side * x + at[0], side * y + at[1]) for x, y in corners]
    ImageDraw.Draw(picture).line(line, fill=ink, width=pen, joint="curve")
    return np.array(picture)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


def test_edges_are_where_light_meets_dark():
    image = np.zeros(SIZE)
    image[8:20, 10:18] = 255
    found = edges(image)
    assert set(np.unique(found)) == {0.0, 1.0}
    rows, columns = np.nonzero(found)
    near = [min(abs(r - 8), abs(r - 19), abs(c - 10), abs(c - 17)) for r, c in zip(rows, columns, strict=True)]
    assert max(near) <= 1  # only along the outline …
    assert all(found[r, 9:11].any() and found[r, 16:19].any() for r in range(10, 18))  # … and all of it
    assert np.array_equal(edges(image / 4), found)  # faint, and steeper than the thresholds
    assert not edges(image / 4, (0.9, 0.95)).any() and np.array_equal(edges(image, (0.9, 0.95)), found)


def test_strokes_are_the_middle_line_whatever_the_pen():
    thin, thick = np.zeros(SIZE), np.zeros(SIZE)
    thin[4:24, 13:15] = 255
    thick[4:24, 10:18] = 255
    for image in (thin, thick):
        found = strokes(image)
        assert found.max() <= 1 and (found[10:18, 13:15] > 0.4).all()
        assert not found[:, :11].any() and not found[:, 17:].any()


@pytest.mark.parametrize("kind", ["canny", "sketch"])
@pytest.mark.parametrize(
    "same",
    [
        seven(ink=0, ground=255),  # dark on light
        seven(ink=90, ground=140),  # faint
        seven(at=(40, 30)),  # elsewhere
        seven(side=900, pen=63),  # larger
        np.pad(seven(), 150),  # with much around it
    ],
)
def test_what_a_picture_shows_counts_and_not_how(kind, same):
    # Edges a pixel wide miss one another by a pixel where a picture was shrunk from elsewhere; strokes are wider.
    enough = {"canny": 0.7, "sketch": 0.85}[kind]
    assert overlap(given_hint(same, kind, SIZE), given_hint(seven(), kind, SIZE)) > enough


def test_a_line_however_thin_becomes_a_stroke():
    expected = given_hint(seven(pen=20), "sketch", SIZE)
    for side, pen in ((1000, 1), (500, 3), (60, 4)):
        assert overlap(given_hint(seven(side, pen), "sketch", SIZE), expected) > 0.6


@pytest.mark.parametrize("gap", [2, 16, 40])
def test_lines_however_long_and_near_are_strokes(gap):
    """Shrunk to a line or two of pixels: what lies between those that are looked at is seen too."""
    picture = np.full((1024, 1024), 255)
    picture[500, 2:1022] = picture[500 + gap, 2:1022] = 0
    for drawn in (picture, picture.T):
        assert max(np.ptp(along) for along in np.nonzero(given_hint(drawn, "sketch", SIZE) >= INK)) >= 17


@pytest.mark.parametrize("kind", ["canny", "sketch"])
def test_ink_is_scaled_and_centred_as_mnist_does_it(kind):
    hint = given_hint(seven(ink=0, ground=255, at=(-30, 35)), kind, SIZE)
    rows, columns = np.nonzero(hint >= INK)
    assert 17 <= np.ptp(rows) + 1 <= 22
    assert abs(rows.mean() - 13.5) < 3 and abs(columns.mean() - 13.5) < 3


def test_a_whole_picture_keeps_its_place_and_loses_what_is_outside_of_the_shape():
    picture = np.full((100, 300), 90)
    picture[:, 150:] = 160  # an edge down its middle, and one that is cut off
    picture[:, 280:] = 20
    hint = given_hint(picture, "canny", (32, 32), framing="whole")
    assert set(np.nonzero(hint)[1]) <= {15, 16} and hint[2:-2, 15:17].any(1).all()
    wide = given_hint(picture, "canny", (16, 48), framing="whole")  # of its own shape: nothing is
    assert set(np.nonzero(wide)[1]) <= {23, 24, 44, 45}
    with pytest.raises(HintError, match="empty"):
        given_hint(np.full((50, 50), 90), "canny", (32, 32), framing="whole")


def test_grey_is_what_pillow_takes_for_grey():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 9, 7, 3), dtype=np.uint8)
    expected = np.stack([np.asarray(Image.fromarray(one).convert("L")) for one in pixels])
    found = grey(torch.from_numpy(pixels).permute(0, 3, 1, 2))
    assert np.abs(found.numpy() - expected).max() <= 1
    assert torch.equal(grey(torch.ones(1, 1, 2, 2, dtype=torch.uint8)), torch.ones(1, 2, 2))


def test_a_hint_that_is_given_as_such_is_taken_as_it_is():
    drawn = np.rint(255 * strokes(seven(28, 3))).astype(np.uint8)
    np.testing.assert_array_equal(given_hint(drawn, "sketch", SIZE, preprocess=False), drawn.astype(np.float32) / 255)
    outline = 255 * edges(seven(28, 4))
    np.testing.assert_array_equal(given_hint(outline, "canny", SIZE, preprocess=False), outline / 255)
    # Made from a picture and given back, it is itself.
    for kind in ("canny", "sketch"):
        made = np.rint(255 * given_hint(seven(), kind, SIZE))
        np.testing.assert_array_equal(np.rint(255 * given_hint(made, kind, SIZE, preprocess=False)), made)


@pytest.mark.parametrize("kind", ["canny", "sketch"])
@pytest.mark.parametrize(
    ("picture", "preprocess", "says"),
    [
        (np.full((50, 50), 255), True, "empty"),
        (np.zeros((50, 50)), True, "empty"),
        (np.full((50, 50), 128) + np.eye(50) * 10, True, "empty"),
        (np.pad(np.full((48, 48), 255), 1), True, "full"),
        (np.zeros((1, 1)), True, "1×1 pixels are too few"),
        (np.zeros((500, 2)), True, "2×500 pixels are too few"),
        (np.zeros((28, 28)), False, "empty"),
        (np.full((28, 28), 255), False, "full"),
        (seven(56), False, "28×28 pixels, not 56×56"),
    ],
)
def test_what_no_hint_can_be_made_of_says_why(kind, picture, preprocess, says):
    with pytest.raises(HintError, match=says):
        given_hint(picture, kind, SIZE, preprocess=preprocess)


@pytest.mark.parametrize("kind", ["canny", "sketch"])
def test_any_pixels_give_a_hint_or_say_why(kind):
    generator = np.random.default_rng(0)
    for _ in range(200):
        picture = generator.integers(0, 256, generator.integers(8, 60, 2))
        if generator.random() < 0.5:
            picture = np.where(
                generator.random(picture.shape) < generator.random() ** 3, picture, 255 * generator.integers(2)
            )
        try:
            hint = given_hint(picture, kind, SIZE)
        except HintError:
            continue
        assert hint.shape == SIZE and hint.dtype == np.float32 and hint.min() >= 0 and hint.max() <= 1


def test_the_first_hints_of_a_process_may_come_at_once():
    """Parts of scikit-image that are loaded when they are needed fail here: two threads need them at once."""
    script = """
import numpy as np
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from model.hints import edges, strokes
image = np.zeros((28, 28), np.uint8)
image[6:22, 13:15] = 255
together = Barrier(8, timeout=30)
def hints(_):
    together.wait()
    return strokes(image).sum() + edges(image).sum()
with ThreadPoolExecutor(8) as threads:
    assert len(set(threads.map(hints, range(8)))) == 1
"""
    subprocess.run([sys.executable, "-c", script], check=True)
