"""Pictures of points: what is shown lies where it should, and any points make one."""

import io

import numpy as np
import pytest
from PIL import Image

from service.media import plots

POINTS = np.random.default_rng(2).normal(size=(50, 2)).astype(np.float32)
BLUE, ORANGE = plots.PALETTE[:2]


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


def places(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """(x, y) of the pixels that are of that colour."""
    return np.argwhere((picture == colour).all(2))[:, ::-1]


@pytest.mark.parametrize(
    "points",
    [POINTS, POINTS[:1], np.zeros((3, 2)), POINTS * 1e-9 + 1, POINTS * 1e30, np.full((3, 2), 1e30)],
    ids=["many", "one", "all alike", "tiny", "huge", "alike and huge"],
)
@pytest.mark.parametrize("equal", [True, False])
def test_any_points_make_a_picture(points, equal):
    points, classes = points.astype(np.float32), np.zeros(len(points), int)
    scattered = plots.scatter(points, classes, {"Seed": "7"}, equal=equal)
    counted = plots.histogram(points[:, :1], classes, {"Seed": "7"}, "a name of\ntwo lines, and so long that it is cut")
    for content in (scattered, counted):
        picture = Image.open(io.BytesIO(content))
        assert picture.size == (640, 640) and picture.text["Seed"] == "7"
        assert len(places(np.asarray(picture), BLUE))


def test_points_lie_where_they_are_upwards_and_to_the_right_coloured_by_class():
    picture = pixels(plots.scatter(np.array([[0, 0], [10, 5]], np.float32), np.array([0, 1]), {}, equal=False))
    blue, orange = places(picture, BLUE).mean(0), places(picture, ORANGE).mean(0)
    inner = (plots.SIDE - 2 * plots.MARGIN) / plots.ROOM
    assert orange[0] - blue[0] == pytest.approx(inner, abs=2)
    assert blue[1] - orange[1] == pytest.approx(inner, abs=2)  # each axis to its own scale …
    picture = pixels(plots.scatter(np.array([[0, 0], [10, 5]], np.float32), np.array([0, 1]), {}, equal=True))
    blue, orange = places(picture, BLUE).mean(0), places(picture, ORANGE).mean(0)
    assert blue[1] - orange[1] == pytest.approx(inner / 2, abs=2)  # … or to the same


def test_a_histogram_is_as_high_as_there_are_points_and_classes_lie_on_each_other():
    values = np.array([[0.0]] * 30 + [[1.0]] * 10 + [[1.0]] * 10, np.float32)
    picture = pixels(plots.histogram(values, np.array([0] * 40 + [1] * 10), {}))
    blue, orange = places(picture, BLUE), places(picture, ORANGE)
    left, right = blue[blue[:, 0] < 320], blue[blue[:, 0] > 320]
    heights = [np.ptp(of[:, 1]) for of in (left, right, orange)]
    assert heights[0] == pytest.approx(3 * heights[1], rel=0.05)
    assert heights[1] == pytest.approx(heights[2], rel=0.05)
    assert orange[:, 1].max() <= right[:, 1].min()


def test_the_same_points_give_the_same_bytes_and_names_are_drawn():
    classes = np.arange(50) % 3
    assert plots.scatter(POINTS, classes, {}, equal=True) == plots.scatter(POINTS, classes, {}, equal=True)
    named = pixels(plots.scatter(POINTS, classes, {}, ("alcohol", "hue"), equal=True))
    bare = pixels(plots.scatter(POINTS, classes, {}, equal=True))
    different = np.argwhere((named != bare).any(2))
    assert (different[:, 0] > 600).any() and (different[:, 0] < 48).any()


@pytest.mark.parametrize("scale, centre", [(1e-9, 0.0), (0.1, 1e6), (1e20, 0.0)])
def test_points_in_any_unit_fill_the_picture_and_its_numbers_differ(scale, centre):
    points = np.array([[-1.0, -1.0], [1.0, 1.0]]) * scale + centre
    picture = pixels(plots.scatter(points, np.array([0, 1]), {}, equal=True))
    blue, orange = places(picture, BLUE).mean(0), places(picture, ORANGE).mean(0)
    assert orange[0] - blue[0] == pytest.approx((plots.SIDE - 2 * plots.MARGIN) / plots.ROOM, abs=2)
    low, high = points.min(), points.max()
    ticks = plots._ticks(low, high)
    assert all(low <= tick <= high for tick in ticks) and len(ticks) >= 4
    assert len({f"{tick:.{plots._digits(ticks)}g}" for tick in ticks}) == len(ticks)
