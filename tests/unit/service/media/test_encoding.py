"""The encoders: what goes in comes out again, and the same samples give the same bytes."""

import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from service.media import encoding

GREY = np.random.default_rng(0).integers(0, 256, (5, 6, 4), dtype=np.uint8)  # five images of 6×4
COLOUR = np.random.default_rng(1).integers(0, 256, (5, 6, 4, 3), dtype=np.uint8)
POINTS = np.random.default_rng(2).normal(size=(50, 2)).astype(np.float32)


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


@pytest.mark.parametrize("images", [GREY, COLOUR], ids=["grey", "colour"])
def test_a_png_holds_the_pixels_and_the_text(images):
    picture = opened(encoding.png(images[0], {"Seed": "7", "Prompt": "ψ seven"}))
    np.testing.assert_array_equal(np.asarray(picture), images[0])
    assert picture.text == {"Seed": "7", "Prompt": "ψ seven"}


def test_zoom_is_nearest_neighbour():
    zoomed = np.asarray(opened(encoding.png(GREY[0], {}, zoom=3)))
    assert zoomed.shape == (18, 12)
    np.testing.assert_array_equal(zoomed[::3, ::3], GREY[0])
    np.testing.assert_array_equal(zoomed[2::3, 2::3], GREY[0])


@pytest.mark.parametrize("images", [GREY, COLOUR], ids=["grey", "colour"])
def test_a_contact_sheet_shows_the_images_in_reading_order(images):
    sheet = np.asarray(opened(encoding.contact_sheet(images, {})))
    assert sheet.shape[:2] == (2 * 6 + 1, 3 * 4 + 2)  # 3 × 2 cells, a line between
    for index, image in enumerate(images):
        y, x = index // 3 * 7, index % 3 * 5
        np.testing.assert_array_equal(sheet[y : y + 6, x : x + 4], image)


@pytest.mark.parametrize("n", [1, 2, 5, 64])
def test_a_sheet_s_size_is_known_before_it_is_made(n):
    images = np.zeros((n, 6, 4, 3), np.uint8)
    assert np.asarray(opened(encoding.contact_sheet(images, {}))).shape[:2] == encoding.sheet_size(n, 6, 4)


def test_a_sheet_of_one_is_the_image():
    np.testing.assert_array_equal(np.asarray(opened(encoding.contact_sheet(GREY[:1], {}))), GREY[0])


def test_an_archive_names_each_image_in_its_metadata():
    images = [encoding.png(image, {}) for image in GREY]
    archive = zipfile.ZipFile(io.BytesIO(encoding.archive(images, [{"seed": seed} for seed in range(5)])))
    records = [json.loads(line) for line in archive.read("metadata.jsonl").splitlines()]
    assert [record["seed"] for record in records] == [0, 1, 2, 3, 4]
    assert [archive.read(record["file_name"]) for record in records] == images
    assert archive.testzip() is None


def test_arrays_and_tables_come_back_to_the_bit():
    loaded = np.load(io.BytesIO(encoding.npy(POINTS)), allow_pickle=False)
    assert loaded.dtype == np.float32
    np.testing.assert_array_equal(loaded, POINTS)
    lines = encoding.table(POINTS, ("x", "y"), None).decode().splitlines()
    assert lines[0] == "x,y"
    np.testing.assert_array_equal(np.array([line.split(",") for line in lines[1:]], dtype=np.float32), POINTS)


def test_a_table_has_a_column_for_every_dimension_and_the_label():
    lines = encoding.table(np.zeros((1, 3), np.float32), ("u", "v, w", "z"), ["a,b"]).decode().splitlines()
    assert lines == ['u,"v, w",z,label', '0.0,0.0,0.0,"a,b"']
    lines = encoding.table(np.zeros((1, 2), np.float32), ("label", "seed"), ["a"], [7]).decode().splitlines()
    assert lines == ["label,seed,label_,seed_", "0.0,0.0,a,7"], "no column has another's name"
    assert encoding.table(np.zeros((0, 1), np.float32), ("x",), [], []) == b"x,label,seed\r\n"


def test_the_same_samples_give_the_same_bytes():
    def everything() -> list[bytes]:
        images = [encoding.png(image, {"Seed": "7"}) for image in GREY]
        return [
            *images,
            encoding.contact_sheet(GREY, {"Seed": "7"}, 4),
            encoding.archive(images, [{}] * 5),
            encoding.npy(POINTS),
            encoding.table(POINTS, ("x", "y"), None),
        ]

    assert everything() == everything()
