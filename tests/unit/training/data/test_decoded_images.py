"""Somebody's own folder of images: what is in it is used as it was meant, or named with what to do about it."""

import fcntl
import json
import os
import shutil
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from model.checkpoints.denoiser import DenoiserConfig
from tests.folders import make_folder, noise
from tests.tiny import tiny_checkpoint
from training.data import DATA_IDENTITY, captioned_as_trained, training_set
from training.data import decoded_images as images_module
from training.data.augment import flipped, recoloured, shifted
from training.data.captioned_images import CaptionedImages
from training.data.data_section import ImageSection
from training.data.image_folder import read_folder
from training.data.pixels import LARGEST, Unusable, read_pixels
from training.data.split import digests, held_out
from training.data.training_set import DataError, FiniteSet


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def images(root: Path, **options) -> FiniteSet:
    return training_set(ImageSection(dataset="mine", images=str(root), **({"size": (8, 8), "channels": 3} | options)))


def left_out(of: FiniteSet) -> dict[str, str]:
    return {one.name: one.reason for one in of.left_out}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# What is used


def test_a_folder_a_class_in_natural_order(tmp_path):
    of = images(make_folder(tmp_path / "of", {"10": 20, "9": 30, "rose": 40}))
    assert of.config.labels == ("9", "10", "rose")
    assert of.config.shape == (3, 8, 8)
    assert of.config.dataset == "mine"
    counts = np.bincount(of.examples.labels) + np.bincount(of.held_out.labels)
    assert counts.tolist() == [30, 20, 40]
    for part in (of.examples, of.held_out):
        for name, label, row in zip(part.names, part.labels.tolist(), part.rows, strict=True):
            assert name.split("/")[0] == of.config.labels[label]
            expected = np.asarray(Image.open(tmp_path / "of" / name)).transpose(2, 0, 1)
            assert np.array_equal(row, expected)  # of its own size, it is not touched


def test_a_flat_folder_and_a_single_class_have_no_labels(tmp_path):
    for classes in ({"": 20}, {"only": 20}):
        of = images(make_folder(tmp_path / f"of{len(classes)}{''.join(classes)}", classes))
        assert of.config.labels == ()
        assert set(of.draw(5, generator())[1].tolist()) == {-1}


@pytest.mark.parametrize("wrapper", ["archive", "a b/dataset", "train"])
def test_a_lone_folder_is_gone_through(tmp_path, wrapper):
    root = make_folder(tmp_path / "of", {f"{wrapper}/cats": 10, f"{wrapper}/dogs": 10, f"{wrapper}/cats/small": 2})
    (root / "readme.txt").write_text("from the internet")
    of = images(root)
    assert of.config.labels == ("cats", "dogs")
    assert of.notes == (f"all images lie in {wrapper}: its folders are the classes",)
    for name, label in zip(of.examples.names, of.examples.labels.tolist(), strict=True):
        assert name.startswith(f"{wrapper}/{of.config.labels[label]}/")


@pytest.mark.parametrize(
    "classes",
    [
        ("bus", "train"),
        ("oval", "round"),
        ("contest", "detest"),
        ("images", "sounds"),
        ("part 1", "whole"),
        ("class_1", "class_2"),
        ("apart 1", "apart 2"),
        ("1", "2"),
    ],
)
def test_names_that_only_sound_like_splits_are_classes(tmp_path, classes):
    assert images(make_folder(tmp_path / "of", dict.fromkeys(classes, 10))).config.labels == classes


def test_what_file_managers_and_disk_stations_write_is_passed_over(tmp_path):
    root = make_folder(tmp_path / "of", {"a": 10, "b": 10, "a/@eaDir/0.png": 1, "__MACOSX/a": 3, "a/.thumbnails": 2})
    (root / "desktop.ini").touch()
    of = images(root)
    assert of.config.labels == ("a", "b")
    assert len(of.examples) + len(of.held_out) == 20
    assert not of.left_out


def test_folders_may_mean_nothing(tmp_path):
    root = make_folder(tmp_path / "of", {"": 10, "a": 5, "b/c": 5})
    of = images(root, labels=False)
    assert of.config.labels == ()
    assert len(of.examples) + len(of.held_out) == 20


def test_a_share_of_every_class_is_never_drawn(tmp_path):
    of = images(make_folder(tmp_path / "of", {"a": 60, "b": 30}), held_out=0.2)
    assert np.bincount(of.held_out.labels).tolist() == [12, 6]
    held = {row.numpy().tobytes() for row in of.held_out.rows}
    drawn, labels = of.draw(5_000, generator())
    seen = {row.byte().numpy().tobytes() for row in drawn}
    assert not held & seen
    assert seen == {row.numpy().tobytes() for row in of.examples.rows}
    assert labels.double().mean().item() == pytest.approx(24 / 72, abs=0.03)
    again, _ = of.draw(5_000, generator())
    assert torch.equal(drawn, again)


def test_what_is_held_out_depends_on_content_alone_and_copies_stay_together():
    rows = np.random.default_rng(0).integers(0, 256, (200, 4), dtype=np.uint8)
    rows[100:150] = rows[:50]
    labels = np.arange(200) // 4 % 2
    labels[100:150] = labels[:50]
    held = held_out(digests(rows), labels, 0.1)
    assert np.array_equal(held[:50], held[100:150])
    assert 10 <= held.sum() <= 30
    order = np.random.default_rng(1).permutation(200)
    assert np.array_equal(held_out(digests(rows[order]), labels[order], 0.1), held[order])


@pytest.mark.parametrize("shared", [1, 5, 50, 100])
def test_a_row_of_two_classes_is_held_out_in_both_or_in_neither(shared):
    """The second class has the first `shared` rows of the first class besides its own."""
    rows = np.random.default_rng(0).integers(0, 256, (200, 4), dtype=np.uint8)
    both = np.concatenate([rows[:100], rows[:shared], rows[100:]])[:200]
    labels = np.arange(200) // 100
    held = held_out(digests(both), labels, 0.1)
    assert np.array_equal(held[:shared], held[100 : 100 + shared])
    assert held.any()
    for label in (0, 1):
        assert (~held[labels == label]).sum() >= 90


@pytest.mark.parametrize(("count", "held"), [(2, 1), (4, 1), (5, 2), (16, 4), (39, 4), (50, 5), (1000, 100)])
def test_small_classes_keep_a_few(count, held):
    rows = np.arange(count)[:, None]
    assert held_out(digests(rows), np.zeros(count, dtype=np.int64), 0.1).sum() == held


def test_what_the_network_sees_is_in_its_range(tmp_path):
    root = make_folder(tmp_path / "of", {"a": 20, "b": 20})
    by_range = images(root).config
    assert (by_range.mean, by_range.std, by_range.clip) == ((127.5,), (127.5,), 1.0)
    of = images(root, standardise="channels")
    seen = of.config.standardise(of.examples.rows.float())
    assert seen.mean((0, 2, 3)).abs().max() < 1e-4
    assert seen.std((0, 2, 3), correction=0).tolist() == pytest.approx([1, 1, 1], abs=1e-4)
    extremes = of.config.standardise(torch.tensor([0.0, 255.0]).view(2, 1, 1, 1).expand(2, 3, 1, 1))
    assert of.config.clip == pytest.approx(extremes.abs().max().item(), rel=1e-6)


# Modes and shapes

RED, GREEN = (200, 30, 40), (10, 220, 90)
GREY_OF_RED = 0.299 * 200 + 0.587 * 30 + 0.114 * 40


def flat(mode: str) -> Image.Image:
    image = Image.new("RGB", (12, 12), RED)
    return image.quantize(8) if mode == "P" else image.convert(mode)


def of_sixteen_bits() -> Image.Image:
    return Image.fromarray(np.full((12, 12), 60 * 257, dtype=np.uint16))


def clear() -> Image.Image:
    """Half covered: what is behind it is white."""
    return Image.new("RGBA", (12, 12), (*RED, 128))


def clear_palette() -> Image.Image:
    image = Image.new("P", (12, 12), 0)
    image.putpalette([*RED, *GREEN])
    image.info["transparency"] = 0
    return image


HALF_WHITE = [(value * 128 + 255 * 127) / 255 for value in RED]


@pytest.mark.parametrize(
    ("image", "file", "expected"),
    [
        (flat("RGB"), "a.png", RED),
        (flat("RGB"), "a.webp", RED),
        (flat("RGB"), "a.bmp", RED),
        (flat("RGB"), "a.TIFF", RED),
        (flat("P"), "a.png", RED),
        (flat("P"), "a.gif", RED),
        (flat("L"), "a.jpg", [GREY_OF_RED] * 3),
        (flat("CMYK"), "a.jpg", RED),
        (flat("LA"), "a.png", [GREY_OF_RED] * 3),
        (Image.new("1", (12, 12), 1), "a.png", [255] * 3),
        (clear(), "a.png", HALF_WHITE),
        (clear(), "a.webp", HALF_WHITE),
        (clear_palette(), "a.png", [255] * 3),
        (of_sixteen_bits(), "a.png", [60] * 3),
        (of_sixteen_bits(), "a.tif", [60] * 3),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else value if isinstance(value, str) else "",
)
def test_every_mode_becomes_the_colours_that_are_seen(tmp_path, image, file, expected):
    image.save(tmp_path / file, **({"lossless": True} if file.endswith("webp") else {}))
    pixels = read_pixels(tmp_path / file, (4, 4), 3, "crop")
    assert pixels.dtype == np.uint8
    assert pixels.shape == (3, 4, 4)
    tolerance = 4 if file.endswith(("jpg", "gif")) or image.mode == "P" else 1.01
    assert np.abs(pixels.astype(float) - np.reshape(expected, (3, 1, 1))).max() <= tolerance
    grey = read_pixels(tmp_path / file, (4, 4), 1, "crop")
    assert grey.shape == (1, 4, 4)
    assert grey.mean() == pytest.approx(np.dot(expected, (0.299, 0.587, 0.114)), abs=tolerance)


@pytest.mark.parametrize(
    ("brightest", "white"),
    [(65535, 65535), (40_000, 65535), (16_000, 16383), (4095, 4095), (1000, 1023), (255, 255), (3, 3)],
)
@pytest.mark.parametrize("file", ["png", "tif"])
def test_sixteen_bits_are_scaled_by_the_range_of_the_set_and_it_is_said(tmp_path, brightest, white, file):
    """One scale for all images: what is half as bright stays half as bright."""
    (tmp_path / "of").mkdir()
    rng = np.random.default_rng(0)
    stored = {}
    for index in range(16):
        values = rng.integers(0, brightest // (1 + index % 2), (8, 8), endpoint=True).astype(np.uint16)
        values[0, 0] = brightest if index == 0 else 0
        stored[f"{index}.{file}"] = values
        Image.fromarray(values).save(tmp_path / "of" / f"{index}.{file}")
    of = images(tmp_path / "of", channels=1)
    for name, row in zip(of.examples.names, of.examples.rows, strict=True):
        np.testing.assert_allclose(row[0], stored[name] * 255.0 / white, atol=1)
    assert of.notes == (
        () if white == 65535 else (f"pixels of 16 bits hold values up to {white:,} only: that is white",)
    )


def test_a_file_of_32_bits_is_left_out_and_darkens_no_other(tmp_path):
    (tmp_path / "of").mkdir()
    for index in range(16):
        values = np.linspace(4095, index, 64).astype(np.uint16).reshape(8, 8)
        Image.fromarray(values).save(tmp_path / "of" / f"{index}.png")
    Image.fromarray(np.full((8, 8), 2**20, dtype=np.int32)).save(tmp_path / "of" / "wide.tif")
    of = images(tmp_path / "of", channels=1)
    assert set(left_out(of)) == {"wide.tif"}
    assert of.examples.rows.amax((1, 2, 3)).min() >= 253


def sixteen_bit_colours(path: Path, brightest: int) -> None:
    """A PNG of 16 bits a channel, which Pillow cannot write."""
    values = np.linspace(0, brightest, 8 * 8 * 3).astype(">u2").reshape(8, 24)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + line.tobytes() for line in values)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + body + chunk(b"IEND", b""))


def test_colours_of_sixteen_bits_are_read_unless_they_would_be_black(tmp_path):
    sixteen_bit_colours(tmp_path / "whole.png", 65535)
    pixels = read_pixels(tmp_path / "whole.png", (8, 8), 3, "crop")
    np.testing.assert_allclose(pixels.transpose(1, 2, 0).ravel(), np.linspace(0, 255, 192), atol=1)
    sixteen_bit_colours(tmp_path / "camera.png", 4095)
    with pytest.raises(Unusable, match="colours of 16 bits that are nearly black"):
        read_pixels(tmp_path / "camera.png", (8, 8), 3, "crop")


@pytest.mark.parametrize(
    ("file", "options"),
    [("dark.bmp", {}), *(("dark.tif", {"compression": kind}) for kind in ("raw", "tiff_lzw", "packbits"))],
)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_dark_pictures_of_8_bits_are_read(tmp_path, file, options, mode):
    """A stride or an offset of a file may hold the digits 16."""
    for side in (4, 16, 163):
        Image.new("L", (side, side), 20).convert(mode).save(tmp_path / file, **options)
        assert (read_pixels(tmp_path / file, (4, 4), 3, "crop") == 20).all()


@pytest.mark.parametrize("white", [4095, 65535])
def test_a_negative_in_a_tiff_is_turned(tmp_path, white):
    """Photometric 0 says that 0 is white. Pillow turns 8 bits by itself, and not 16."""
    scale = np.linspace(0, white, 64).reshape(8, 8)
    # Pillow turns 8 bits when it writes them, too.
    stored = {"eight.tif": (scale * 255 / white).astype(np.uint8), "sixteen.tif": (white - scale).astype(np.uint16)}
    for name, values in stored.items():
        Image.fromarray(values).save(tmp_path / name, tiffinfo={262: 0})
        pixels = read_pixels(tmp_path / name, (8, 8), 1, "crop", white=white)
        np.testing.assert_allclose(pixels[0], scale * 255 / white, atol=1.5)


@pytest.mark.parametrize(("shade", "ground"), [(255, 0), (240, 0), (0, 255), (128, 255)])
def test_what_white_would_hide_is_laid_on_black(tmp_path, shade, ground):
    drawn = np.zeros((8, 8, 4), dtype=np.uint8)
    drawn[..., :3] = shade
    drawn[2:6, 2:6, 3] = 255
    Image.fromarray(drawn).save(tmp_path / "a.png")
    pixels = read_pixels(tmp_path / "a.png", (8, 8), 1, "crop")[0]
    assert set(pixels[3:5, 3:5].ravel()) == {shade}
    assert set(pixels[[0, 7]].ravel()) == {ground}


def test_pages_of_a_stack_are_images(tmp_path):
    (tmp_path / "of").mkdir()
    pages = [noise(index, mode="L") for index in range(12)]
    pages[0].save(tmp_path / "of" / "cells.tif", save_all=True, append_images=[*pages[1:10], noise(99, 4, "L")])
    pages[10].save(tmp_path / "of" / "one.tif")
    of = images(tmp_path / "of", channels=1)
    rows = dict(
        zip(of.examples.names + of.held_out.names, torch.cat([of.examples.rows, of.held_out.rows]), strict=True)
    )
    assert set(rows) == {"one.tif", *(f"cells.tif, page {page}" for page in range(1, 11))}  # and no thumbnail
    for page in range(10):
        assert np.array_equal(rows[f"cells.tif, page {page + 1}"][0], np.asarray(pages[page]))
    assert of.notes == ("9 more images are the further pages of TIFF stacks",)


@pytest.mark.parametrize(
    ("orientation", "corner"), [(1, (0, 0)), (3, (1, 1)), (6, (0, 1)), (8, (1, 0)), (2, (0, 1)), (5, (0, 0))]
)
def test_photographs_are_turned_upright(tmp_path, orientation, corner):
    """A picture whose first corner is light: where EXIF says that corner belongs."""
    stored = np.zeros((16, 16, 3), dtype=np.uint8)
    stored[:8, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / "a.jpg", exif=exif, quality=95)
    pixels = read_pixels(tmp_path / "a.jpg", (2, 2), 1, "crop")[0]
    assert np.unravel_index(pixels.argmax(), (2, 2)) == corner


def test_other_shapes_are_cropped_to_their_middle_or_stretched(tmp_path):
    wide = np.zeros((8, 24), dtype=np.uint8)
    wide[:, 8:16] = 255
    Image.fromarray(wide).save(tmp_path / "wide.png")
    assert (read_pixels(tmp_path / "wide.png", (8, 8), 1, "crop") == 255).all()
    stretched = read_pixels(tmp_path / "wide.png", (8, 24), 1, "stretch")
    assert np.array_equal(stretched[0], wide)
    assert 50 < read_pixels(tmp_path / "wide.png", (8, 8), 1, "stretch").mean() < 120


# What cannot be used


def truncated(path: Path, keep: float = 0.5) -> Path:
    noise(99, 64).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole))])
    return path


def huge(path: Path, side: int = 20_000) -> Path:
    """A whole PNG of that many black pixels a side, written without ever holding them."""
    compressor, packed = zlib.compressobj(1), b""
    for _ in range(side):
        packed += compressor.compress(bytes(1 + side // 8))
    packed += compressor.flush()

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", packed) + chunk(b"IEND", b""))
    return path


def test_files_that_cannot_be_used_are_named_and_the_others_are_used(tmp_path):
    root = make_folder(tmp_path / "of", {"a": 10, "b": 10})
    truncated(root / "a" / "cut.png")
    truncated(root / "a" / "cut.jpg", 0.7)
    truncated(root / "b" / "cut.webp", 0.7)
    (root / "b" / "text.png").write_text("no image")
    (root / "b" / "empty.jpg").touch()
    (root / "b" / "notes.txt").write_text("notes")
    huge(root / "b" / "huge.png")
    Image.new("F", (8, 8)).save(root / "b" / "floats.tif")
    of = images(root)
    reasons = left_out(of)
    assert set(reasons) == {
        *("a/cut.png", "a/cut.jpg", "b/cut.webp", "b/text.png", "b/empty.jpg", "b/notes.txt", "b/huge.png"),
        "b/floats.tif",
    }
    assert all(reasons[name].startswith("broken: ") for name in ("a/cut.png", "a/cut.jpg", "b/cut.webp"))
    assert all("no image, whatever its name says" in reasons[f"b/{name}"] for name in ("text.png", "empty.jpg"))
    assert "too much memory; scale it down" in reasons["b/huge.png"]
    assert "convert it to 8 or 16 bits" in reasons["b/floats.tif"]
    assert reasons["b/notes.txt"].startswith(".txt")
    assert len(of.examples) + len(of.held_out) == 20


def test_an_image_is_refused_by_its_size_before_it_is_decoded(tmp_path, monkeypatch):
    side = 8 * 1100
    assert LARGEST < side**2 < Image.MAX_IMAGE_PIXELS  # Pillow itself would let it pass
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("it was decoded"))
    with pytest.raises(Unusable, match="8800×8800 pixels: more than 67,108,864"):
        read_pixels(huge(tmp_path / "large.png", side), (8, 8), 1, "crop")


def test_links_out_of_the_folder_are_not_followed_and_loops_end(tmp_path):
    root = make_folder(tmp_path / "of", {"a": 10, "b": 10})
    outside = make_folder(tmp_path / "outside", {"": 3})
    (root / "a" / "out.png").symlink_to(outside / "0.png")
    (root / "a" / "relative.png").symlink_to("../../outside/1.png")
    (root / "c").symlink_to(outside)
    (root / "a" / "nowhere.png").symlink_to("nothing.png")
    (root / "a" / "loop").symlink_to(root)
    (root / "b" / "inside.png").symlink_to(root / "b" / "0.png")
    of = images(root)
    reasons = left_out(of)
    assert set(reasons) == {"a/out.png", "a/relative.png", "c", "a/nowhere.png"}
    assert all("leads out of the folder" in reasons[name] for name in ("a/out.png", "a/relative.png", "c"))
    assert "leads nowhere" in reasons["a/nowhere.png"]
    assert len(of.examples) + len(of.held_out) == 21
    linked = images(tmp_path / "of" / ".." / "of")  # and the way to the folder itself may be any
    assert len(linked.examples) == len(of.examples)


def test_names_that_are_not_utf8(tmp_path):
    root = make_folder(tmp_path / "of", {"a": 10, "b": 10})
    noise(500).save(os.fsdecode(os.fsencode(root / "a") + b"/caf\xe9.png"))
    of = images(root)
    names = of.examples.names + of.held_out.names
    assert "a/caf\\xe9.png" in names
    json.dumps(names).encode()
    os.rename(root / "b", os.fsencode(root) + b"/ros\xe9")
    with pytest.raises(DataError, match=r"ros\\xe9: its name would be a label: rename it"):
        images(root)


@pytest.mark.parametrize(
    ("classes", "says"),
    [
        ({"": 0}, r"of: no images in it; images are \.bmp, "),
        ({"": 1}, "too few usable images to learn from, 1: give at least 8"),
        ({"a": 30, "b": 1}, r"of/b: a class needs at least 2 different usable images .*, and has 1: add some"),
        ({"": 5, "a": 30, "b": 30}, r"5 images \(0.png …\) lie beside the folders .* --no-labels"),
        ({"train": 30, "test": 30}, r"folders are test and train, which are no classes: give one of them"),
        (
            {"Training": 9, "Testing": 30},
            r"Testing and Training, which are no classes: give .* \(.*of/Training, of 9 im",
        ),
        ({"test": 9, "pred": 30}, r"pred and test, .*: give .* \(.*of/pred, of 30 images\); a share of it is held out"),
        ({"seg_train/sea": 9, "seg_test/sea": 9, "seg_pred": 9}, r"seg_pred, seg_test and seg_train, .*of/seg_train"),
        ({"training_set": 9, "test_set": 8}, r"test_set and training_set, which are no classes: .*of/training_set"),
        ({"train": 9, "test": 9, "pred": 9}, r"pred, test and train, which are no classes"),
        ({"data/train-images/a": 9, "data/val2017/a": 9}, r"of/data: its folders are train-images and val2017, which"),
        ({"train": 9, "validation": 9, "extra": 9}, r"extra, train and validation, which are no classes"),
        (
            {"images": 9, "masks": 9},
            r"images and masks, which are no classes: give the one of the images \(.*of/images",
        ),
        ({"fold_0/a": 9, "fold_1/a": 9}, r"fold_0 and fold_1, which are parts and no classes: .*--no-labels"),
        (
            {"HAM10000_images_part_1": 9, "HAM10000_images_part_2": 9},
            "part_1 and HAM10000_images_part_2, which are parts",
        ),
        ({"images_001/images": 9, "images_002/images": 9}, "which are parts and no classes: .*, or rename them"),
        ({"Batch 1": 9, "batch2": 9, "batch-3": 9}, "which are parts and no classes"),
        ({"archive": 5, "archive/a": 30}, r"of/archive: 5 images \(0.png …\) lie beside the folders"),
    ],
)
def test_folders_that_cannot_be_trained_on_say_what_to_do(tmp_path, classes, says):
    with pytest.raises(DataError, match=says):
        images(make_folder(tmp_path / "of", classes))


@pytest.mark.parametrize(
    ("kept", "says"),
    [
        ({"a": [0] * 10, "b": [0] * 10}, r"too few different images to learn from, 1 \(of 20, the others are copies\)"),
        ({"": [5] * 20}, r"too few different images to learn from, 1 \(of 20"),
        ({"": [5] * 19 + [6]}, r"too few different images to learn from, 2 \(of 20"),
        ({"a": [*range(20)], "b": [30] * 10}, r"of/b: a class needs .*, and has 1 \(its 10 images are copies\)"),
        ({"a": [*range(9), 20], "b": [*range(9), 21], "c": [20, 21]}, None),
    ],
)
def test_copies_are_no_images_to_learn_from(tmp_path, kept, says):
    """Images of one shade each, in folders of these names."""
    for name, shades in kept.items():
        (tmp_path / "of" / name).mkdir(parents=True, exist_ok=True)
        for index, shade in enumerate(shades):
            Image.new("L", (8, 8), shade).save(tmp_path / "of" / name / f"{index}.png")
    if says is None:
        assert len(images(tmp_path / "of").held_out)
        return
    with pytest.raises(DataError, match=says):
        images(tmp_path / "of")


def test_a_folder_of_other_things_says_what_they_are(tmp_path):
    (tmp_path / "a.heic").touch()
    with pytest.raises(DataError, match=r"of its 1 files none is: a.heic: .heic: no kind of image that is read"):
        images(tmp_path)
    with pytest.raises(DataError, match=r"nothing is not there: .* into the recipe \(images = …\)"):
        images(tmp_path / "nothing")
    with pytest.raises(DataError, match="nothing: no such folder"):
        read_folder(tmp_path / "nothing")


def test_a_class_whose_images_are_all_broken_is_named_with_them(tmp_path):
    root = make_folder(tmp_path / "of", {"a": 20, "b": 1})
    truncated(root / "b" / "cut.png")
    with pytest.raises(DataError, match=r"of/b: a class .* has 1: .*b/cut.png \(broken: "):
        images(root)


# Captions


def test_captions_are_read_where_hugging_face_has_them(tmp_path):
    root = make_folder(tmp_path / "of", {"a": 10, "b": 10})
    lines = [{"file_name": f"a/{index}.png", "text": f" a  thing {index}"} for index in range(10)]
    (root / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    (root / "b" / "metadata.jsonl").write_text(json.dumps({"file_name": "gone.png", "text": "?"}))
    of = images(root)
    said = dict(zip(of.examples.names + of.held_out.names, of.examples.captions + of.held_out.captions, strict=True))
    assert said["a/3.png"] == "a thing 3"
    assert said["b/3.png"] == ""
    assert left_out(of) == {"b/metadata.jsonl, line 1": "there is no image gone.png"}
    assert images(make_folder(tmp_path / "other", {"": 20})).examples.captions == ()


def test_captions_and_groups_have_no_control_characters_which_no_prompt_may_have(tmp_path):
    root = make_folder(tmp_path / "of", {"": 20})
    lines = [{"file_name": f"{i}.png", "text": f"it\x92s  thing\t{i}\ud83d", "group": f"\x96{i}"} for i in range(20)]
    (root / "metadata.jsonl").write_text(metadata(*lines))
    captions = captions_of(images(root))
    assert captions["3.png"] == "it s thing 3"
    vocabulary = CaptionedImages(images(root)).vocabulary
    assert all(vocabulary.read(text).words for text in (*captions.values(), *vocabulary.examples))


def test_captioned_images_that_have_changed_are_named(tmp_path):
    root = make_folder(tmp_path / "of", {"": 20})
    (root / "metadata.jsonl").write_text(
        metadata(*({"file_name": f"{i}.png", "text": f"thing {i}"} for i in range(20)))
    )
    data, section = images(root), {"dataset": "of", "images": str(root), "size": [8, 8], "channels": 3}

    def trained(identity: str) -> DenoiserConfig:
        recipe = {"data": section, DATA_IDENTITY: identity}
        return tiny_checkpoint(name="of-words").config.model_copy(update={"recipe": recipe})

    assert captioned_as_trained(trained(data.identity)).real.identity == data.identity
    with pytest.raises(DataError, match="of has changed since of-words was trained"):
        captioned_as_trained(trained("another"))


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"text": "a thing"}', '{"file_name": 3}', '{"file_name": "0.png", "text": 3}', "[" * 99999]
)
def test_a_caption_that_cannot_be_read_is_named_by_its_line(tmp_path, line):
    root = make_folder(tmp_path / "of", {"": 20})
    (root / "metadata.jsonl").write_text('{"file_name": "1.png", "text": "one"}\n' + line)
    with pytest.raises(DataError, match=r"metadata\.jsonl, line 2: "):
        images(root)


def metadata(*entries: dict, mark: str = "") -> str:
    return mark + "".join(json.dumps(entry) + "\n" for entry in entries)


def captions_of(of: FiniteSet) -> dict[str, str]:
    names, captions = of.examples.names + of.held_out.names, of.examples.captions + of.held_out.captions
    return dict(zip(names, captions, strict=True)) if captions else {}


LABELS = [{"file_name": f"{index}.png", "label": index % 2, "prompt": "a thing"} for index in range(20)]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("metadata.jsonl", metadata(*LABELS)),
        ("metadata.jsonl", metadata(*({"file_name": f"{index}.png", "text": None} for index in range(20)))),
        ("metadata.jsonl", ""),
        ("metadata.csv", "file_name,label\n" + "".join(f"{index}.png,{index % 2}\n" for index in range(20))),
    ],
)
def test_metadata_without_captions_is_said_and_images_are_trained_on_without(tmp_path, file, text):
    root = make_folder(tmp_path / "of", {"": 20})
    (root / file).write_text(text)
    of = images(root)
    assert captions_of(of) == {}
    assert len(of.examples) + len(of.held_out) == 20
    (note,) = of.notes
    assert note.startswith(f"{file} has neither captions nor groups: these are its 'text' and 'group', and it has ")
    assert "label" not in text or "label" in note
    assert not of.left_out


def test_metadata_of_other_images_say_so_in_a_line(tmp_path):
    root = make_folder(tmp_path / "of", {"": 20})
    (root / "metadata.jsonl").write_text(
        metadata(*({"file_name": f"images/{index}.png", "text": "a"} for index in range(20)))
    )
    of = images(root)
    assert of.notes == (
        "metadata.jsonl names no image that is here: 'file_name' is relative to the folder that it lies in",
    )
    assert len(of.left_out) == 20 and captions_of(of) == {}


def test_groups_of_metadata_or_of_names_are_held_out_whole(tmp_path):
    root = make_folder(tmp_path / "of", {"cats": 30, "dogs": 30})
    files = [f"{kind}/{index}.png" for kind in ("cats", "dogs") for index in range(30)]
    patient = {file: int(file.split("/")[1].removesuffix(".png")) // 3 for file in files}
    (root / "metadata.jsonl").write_text(metadata(*({"file_name": file, "group": patient[file]} for file in files)))
    of = images(root)
    held = {patient[name] for name in of.held_out.names}
    assert held and not held & {patient[name] for name in of.examples.names}
    assert set(of.held_out.labels.tolist()) == {0, 1}
    assert of.notes == ("10 groups: each is trained on whole, or held out whole",)

    of = images(root, group=r"/(\d)\d*\.png")  # the first digit
    held = {name.split("/")[1][0] for name in of.held_out.names}
    assert held and not held & {name.split("/")[1][0] for name in of.examples.names}


def test_a_moved_folder_holds_out_the_same_images_of_no_group(tmp_path):
    root = make_folder(tmp_path / "here", {"cats": 40})
    group = r"cats/(\d)\.png"  # ten images have one
    here = images(root, group=group)
    root.rename(tmp_path / "there")
    there = images(tmp_path / "there", group=group)
    assert here.held_out.names and here.held_out.names == there.held_out.names
    assert here.identity == there.identity
    (tmp_path / "there" / "cats" / "39.png").unlink()
    assert images(tmp_path / "there", group=group).identity != here.identity


def test_groups_that_say_nothing_are_refused(tmp_path):
    root = make_folder(tmp_path / "of", {"cats": 10, "dogs": 10})
    with pytest.raises(DataError, match="class cats has its 10 rows in 1 group"):
        images(root, group="cats|dogs")
    with pytest.raises(DataError, match=r"group: 'patient' is found in no file's path, such as cats/0\.png"):
        images(root, group="patient")
    with pytest.raises(DataError, match=r"group: '\(' is no regular expression: missing \)"):
        read_folder(root, group="(")
    (root / "metadata.jsonl").write_text(metadata({"file_name": "cats/0.png", "group": [3]}))
    with pytest.raises(DataError, match=r"line 1: group is \[3\], neither a string nor a whole number"):
        images(root)


@pytest.mark.parametrize(
    ("place", "file", "text"),
    [
        ("", "metadata.jsonl", metadata({"file_name": "data/img/3.png", "text": "three"}, mark="\ufeff")),
        ("data", "metadata.jsonl", metadata({"file_name": "img/3.png", "text": "three"})),
        ("data/img", "metadata.jsonl", metadata({"file_name": "3.png", "text": "three"}, {"file_name": "4.png"})),
        ("data/img", "metadata.csv", '\ufefffile_name,text\n3.png,"three"\n4.png,\n'),
    ],
)
def test_captions_may_lie_in_any_folder_above_their_images(tmp_path, place, file, text):
    root = make_folder(tmp_path / "of", {"data/img": 20})
    (root / place / file).write_text(text)
    captions = captions_of(images(root))
    assert captions.pop("data/img/3.png") == "three"
    assert set(captions.values()) == {""} and len(captions) == 19


# The cache


def test_files_are_decoded_once_and_again_when_they_change(tmp_path, monkeypatch):
    root = make_folder(tmp_path / "of", {"a": 20, "b": 20})
    first = images(root)
    decode = images_module.read_pixels
    monkeypatch.setattr(images_module, "read_pixels", lambda *_: pytest.fail("it was decoded again"))
    second = images(root, flip=True)  # augmentation changes nothing that is kept
    assert torch.equal(first.examples.rows, second.examples.rows)
    assert first.examples.names == second.examples.names

    monkeypatch.setattr(images_module, "read_pixels", decode)
    noise(1000).save(root / "a" / "0.png")
    noise(1001).save(root / "a" / "new.png")
    third = images(root)
    assert len(third.examples) + len(third.held_out) == 41
    (place,) = (tmp_path / "cache" / "spirale").iterdir()
    assert len(list(place.glob("*/"))) == 1  # what was made of the older files is gone …
    assert first.examples.rows.sum() > 0  # … but for whoever has it open


def test_what_was_half_made_is_made_again(tmp_path, monkeypatch):
    root = make_folder(tmp_path / "of", {"a": 20, "b": 20})

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(images_module, "digests", killed)
        images(root)
    assert len(images(root).examples) == 32


def test_two_at_once_decode_once(tmp_path, monkeypatch):
    root = make_folder(tmp_path / "of", {"a": 20, "b": 20})
    decoded = []
    decode = images_module.read_pixels
    monkeypatch.setattr(images_module, "read_pixels", lambda path, *of: decoded.append(path) or decode(path, *of))
    with ThreadPoolExecutor(4) as pool:
        sets = list(pool.map(lambda _: images(root), range(4)))
    assert len(decoded) == 40
    assert all(torch.equal(one.examples.rows, sets[0].examples.rows) for one in sets)


def test_what_is_read_is_not_deleted_by_who_finds_other_files(tmp_path, monkeypatch):
    """Whoever deletes it waits for this lock."""
    root = make_folder(tmp_path / "of", {"a": 20, "b": 20})
    images(root)
    (lock,) = (tmp_path / "cache" / "spirale").glob("*/lock")
    opened = []

    def held(file: Path) -> None:
        if not file.is_relative_to(lock.parent):
            return
        opened.append(file.name)
        with lock.open() as another, pytest.raises(BlockingIOError):
            fcntl.flock(another, fcntl.LOCK_EX | fcntl.LOCK_NB)

    load, read_text = np.load, Path.read_text
    monkeypatch.setattr(images_module.np, "load", lambda file, **how: held(file) or load(file, **how))
    monkeypatch.setattr(Path, "read_text", lambda file, **how: held(file) or read_text(file, **how))
    images(root)
    assert opened == ["about.json", "pixels.npy"]


def test_a_full_disk_is_seen_before_it_is_written_to(tmp_path, monkeypatch):
    monkeypatch.setattr(images_module.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(DataError, match=r"40 images of 8×8 take .* XDG_CACHE_HOME"):
        images(make_folder(tmp_path / "of", {"a": 20, "b": 20}))


# Augmentation


def test_augmentation_is_off_unless_it_is_asked_for(tmp_path):
    root = make_folder(tmp_path / "of", {"a": 20, "b": 20})
    plain = images(root)
    drawn, _ = plain.draw(50, generator())
    index = torch.randint(len(plain), (50,), generator=generator())
    assert torch.equal(drawn, plain.examples.rows[index].float())
    changed, _ = images(root, flip=True, shift=2, colour=0.3).draw(50, generator())
    assert not torch.equal(changed, drawn)
    again, _ = images(root, flip=True, shift=2, colour=0.3).draw(50, generator())
    assert torch.equal(changed, again)


def test_flipped_images_are_mirrored_half_of_the_time():
    images = torch.rand(400, 3, 4, 6)
    out = flipped(images, generator())
    mirrored = (out == images.flip(3)).flatten(1).all(1)
    kept = (out == images).flatten(1).all(1)
    assert (mirrored ^ kept).all()
    assert mirrored.double().mean().item() == pytest.approx(0.5, abs=0.08)


def test_shifted_images_move_by_whole_pixels_and_their_rim_is_drawn_out():
    image = torch.arange(48.0).view(1, 1, 6, 8)
    out = shifted(image.expand(500, 1, 6, 8), 2, generator())
    seen = set()
    for one in out[:, 0]:
        (found,) = [
            (down, right)
            for down in range(-2, 3)
            for right in range(-2, 3)
            if all(
                one[y, x] == image[0, 0, min(max(y - down, 0), 5), min(max(x - right, 0), 7)]
                for y in range(6)
                for x in range(8)
            )
        ]
        seen.add(found)
    assert len(seen) == 25


def test_recoloured_images_keep_their_range_and_grey_stays_grey():
    images = 255 * torch.rand(200, 3, 4, 4)
    out = recoloured(images, 0.4, generator())
    assert out.min() >= 0 and out.max() <= 255
    brightness = out.mean((1, 2, 3)) / images.mean((1, 2, 3))
    assert 0.58 < brightness.min() < 0.75 and 1.2 < brightness.max() < 1.42
    grey = images[:, :1].expand(-1, 3, -1, -1)
    assert (recoloured(grey, 0.4, generator()).std(1)).max() < 0.05
    torch.testing.assert_close(recoloured(images, 0.0, generator()), images)


# Images without a label


def others(root: Path, count: int) -> Path:
    """So many images that are in no `make_folder`."""
    root.mkdir()
    for index in range(count):
        noise(1_000 + index).save(root / f"{index}.png")
    return root


def test_unlabelled_images_are_trained_on_without_a_label_and_leak_nothing(tmp_path):
    labelled, more = make_folder(tmp_path / "of", {"cats": 20, "dogs": 20}), others(tmp_path / "more", 6)
    alone = images(labelled)
    held, trained = alone.held_out.names[0], alone.examples.names[0]
    shutil.copy(labelled / held, more / "seen.png")
    shutil.copy(labelled / trained, more / "known.png")
    of = images(labelled, unlabelled=str(more))
    assert left_out(of) == {"seen.png": "a copy of an image that is held out"}
    assert of.examples.names == alone.examples.names and of.held_out.names == alone.held_out.names
    assert torch.equal(of.draw(9, generator())[0], alone.draw(9, generator())[0])  # for what reads labels
    every = of.with_unlabelled()
    assert torch.equal(every.examples.rows[: len(of)], of.examples.rows)
    assert set(map(bytes, digests(every.examples.rows[len(of) :].numpy()))) == {
        digests(np.asarray(Image.open(path)).transpose(2, 0, 1)[None])[0]
        for path in more.glob("*.png")
        if path.name != "seen.png"
    }
    assert every.examples.labels[len(of) :].tolist() == [-1] * 7
    assert 0.1 < (every.draw(400, generator())[1] == -1).float().mean() < 0.25  # 7 of 43 rows


def test_unlabelled_images_of_a_held_out_group_are_left_out(tmp_path):
    labelled, more = make_folder(tmp_path / "of", {"cats": 20, "dogs": 20}), others(tmp_path / "more", 10)
    of = images(labelled, unlabelled=str(more), group=r"(\d)\.png")
    assert images(labelled, unlabelled=str(more), group=r"cats/(\d)").unlabelled is not None  # no group there is none
    groups = {name[-5] for name in of.held_out.names}
    assert left_out(of) == {f"{group}.png": f"of {group}, which is held out" for group in groups}


def test_a_held_out_patient_of_another_name_is_left_out_whole(tmp_path):
    """A patient is p in the archive, where one picture is the same; q has one of p's, and r has none."""
    labelled, more = make_folder(tmp_path / "of", {"cats": 20, "dogs": 20}), tmp_path / "more"
    group = r"^[pqr](?=_)|(?<=s/)\d(?=\.png)|(?<=s/\d)\d(?=\.png)"
    held = images(labelled, group=group).held_out.names[0]
    more.mkdir()
    pictures = {"p_0": None, "p_1": 1, "p_2": 2, "q_0": 2, "q_1": 3, "r_0": 4, "r_1": 5, "alone": 3, "other": 6}
    for name, seed in pictures.items():
        if seed is None:
            shutil.copy(labelled / held, more / f"{name}.png")
        else:
            noise(1_000 + seed).save(more / f"{name}.png")
    of = images(labelled, unlabelled=str(more), group=group)
    common = "which has an image in common with what is held out"
    assert left_out(of) == {
        "p_0.png": "a copy of an image that is held out",
        "p_1.png": f"of p, {common}",
        "p_2.png": f"of p, {common}",
        "q_0.png": f"of q, {common}",
        "q_1.png": f"of q, {common}",
        "alone.png": "a copy of an image that is left out",
    }
    assert len(of.unlabelled) == 3


def test_unlabelled_images_that_cannot_be_trained_on_are_named(tmp_path):
    labelled, more = make_folder(tmp_path / "of", {"cats": 20, "dogs": 20}), others(tmp_path / "more", 6)
    noise(9, side=9).save(more / "large.png")
    with pytest.raises(DataError, match=r"1 of 7 images in .*more are not 8×8, .*: large\.png \(9×9\): cut or scale"):
        images(labelled, unlabelled=str(more))
    make_folder(labelled / "cats" / "more", {"": 3})
    with pytest.raises(DataError, match=r"lies in .*, the folder of labelled images: move it beside"):
        images(labelled, unlabelled=str(labelled / "cats" / "more"))
    with pytest.raises(DataError, match="has no classes either"):
        images(more, unlabelled=str(labelled))
