"""Strokes whose measures are known."""

import numpy as np
import pytest
import torch

from training.data import morphometry
from training.data.morphometry import measure, terciles

SIDE = 28


def bar(thickness: float, lean: float = 0.0, top: int = 4, bottom: int = 24) -> np.ndarray:
    """A stroke from row `top` to `bottom`, antialiased, moved `lean` pixels to the right for each row upwards."""
    y, x = np.mgrid[:SIDE, :SIDE]
    middle = SIDE / 2 - 0.5 + lean * ((top + bottom - 1) / 2 - y)
    across = np.clip(thickness / 2 + 0.5 - np.abs(x - middle), 0, 1)
    return 255 * across * ((y >= top) & (y < bottom))


def ring(radius: float, thickness: float) -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2 + 0.5
    return 255 * np.clip(thickness / 2 + 0.5 - np.abs(np.hypot(x, y) - radius), 0, 1)


def one(image: np.ndarray) -> morphometry.Morphometry:
    return measure(image[None])


@pytest.mark.parametrize("thickness", [2, 3, 4, 6])
def test_an_upright_bar(thickness):
    measured = one(bar(thickness))
    assert measured.thickness[0] == pytest.approx(thickness, abs=0.6)
    assert measured.slant[0] == pytest.approx(0, abs=0.5)
    assert measured.width[0] == pytest.approx(thickness, abs=0.7)
    assert measured.height[0] == pytest.approx(20, abs=0.7)
    assert measured.length[0] == pytest.approx(20 - thickness / 2, abs=thickness / 2 + 1)  # its ends are rounded off


@pytest.mark.parametrize("lean", [-0.6, -0.3, 0.3, 0.6])
def test_a_leaning_bar_is_as_wide_as_an_upright_one(lean):
    """The slant is the shear's; set upright by it, the bar is an upright one."""
    measured = one(bar(3, lean))
    assert measured.slant[0] == pytest.approx(np.degrees(np.arctan(lean)), abs=2)
    assert measured.width[0] == pytest.approx(3, abs=1)
    assert measured.length[0] == pytest.approx(18.5 * np.hypot(1, lean), rel=0.2)  # steps of 1 and √2, and spurs


def test_a_ring_is_as_long_as_its_circumference():
    measured = one(ring(9, 3))
    assert measured.length[0] == pytest.approx(2 * np.pi * 9, rel=0.1)  # steps of 1 and √2 go round corners
    assert measured.thickness[0] == pytest.approx(3, abs=0.4)
    assert measured.width[0] == measured.height[0] == pytest.approx(21, abs=1)


def test_contrast_and_polarity_of_nothing_count():
    full, faint = one(bar(3)), one(bar(3) / 5)
    np.testing.assert_allclose(full.thickness, faint.thickness)
    np.testing.assert_allclose(full.length, faint.length)


def test_an_image_without_ink_has_no_measures():
    measured = measure(np.stack([np.zeros((SIDE, SIDE)), bar(3), np.full((SIDE, SIDE), 255.0)]))
    assert np.isnan(measured.thickness).tolist() == [True, False, True]
    assert np.isnan(measured.length).tolist() == [True, False, True]


def test_many_are_measured_as_one_is(monkeypatch):
    monkeypatch.setattr(morphometry, "CHUNK", 3)  # several processes
    images = torch.from_numpy(np.stack([bar(2 + i / 4, i / 20) for i in range(8)])).unsqueeze(1)
    together = measure(images)
    for i in range(8):
        assert measure(images[i : i + 1]).thickness[0] == together.thickness[i]
        assert measure(images[i : i + 1]).slant[0] == together.slant[i]


def test_what_was_measured_is_kept_by_the_images(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = measure(bar(3)[None], keep=True)
    monkeypatch.setattr(morphometry, "_measure", lambda images: pytest.fail("measured again"))
    np.testing.assert_array_equal(measure(bar(3)[None], keep=True).length, first.length)
    with pytest.raises(pytest.fail.Exception):
        measure(bar(4)[None], keep=True)


def test_terciles_are_of_each_class():
    values = np.concatenate([np.arange(9.0), 100 + np.arange(9.0)])
    measured = morphometry.Morphometry(*[values] * 5)
    bounds = terciles(measured, np.repeat([0, 1], 9), 2)
    np.testing.assert_allclose(bounds["slant"], [[8 / 3, 16 / 3], [100 + 8 / 3, 100 + 16 / 3]])
