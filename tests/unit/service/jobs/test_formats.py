"""Files of every format hold what went in, read by libraries that did not write them, and the same bytes each time."""

import csv
import io
import json
import tarfile
import zipfile
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torchvision
from PIL import Image

from model.table import CategoryColumn, LabelColumn, NumberColumn
from service.jobs.formats.registry import FORMATS, formats_of
from service.jobs.formats.shard import Shard
from service.jobs.formats.zipped_classes import folder_name

NAMES = ("zero", "one", "a/b")


def images(n: int = 5, colour: bool = False, labelled: bool = True, prompt: str | None = None) -> Shard:
    draw = np.random.default_rng(0)
    data = draw.integers(0, 256, (n, 8, 6, 3) if colour else (n, 8, 6), dtype=np.uint8)
    numbers = np.arange(7, 7 + n)
    return Shard(data, numbers, 100 + numbers, np.arange(n) % 3 if labelled else None, NAMES, prompt=prompt)


def points(columns=("x", "y"), dtype=np.float32) -> Shard:
    data = np.random.default_rng(0).normal(size=(5, len(columns))).astype(dtype)
    return Shard(data, np.arange(5), np.arange(5) + 2**62, np.arange(5) % 3, NAMES, columns=columns)


def opened(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def shards_of(name: str) -> list[Shard]:
    of_images = [images(), images(colour=True, prompt="a thin seven"), images(labelled=False)]
    return (of_images if "images" in FORMATS[name].kinds else []) + (
        [points()] if "points" in FORMATS[name].kinds else []
    )


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_rows_give_the_same_bytes_at_any_time(name, monkeypatch):
    first = [FORMATS[name].write(shard) for shard in shards_of(name)]
    monkeypatch.setattr("time.time", lambda: 2e9)
    assert [FORMATS[name].write(shard) for shard in shards_of(name)] == first
    for shard, files in zip(shards_of(name), first, strict=True):
        second = FORMATS[name].labels_ending if shard.classes is not None else None
        assert list(files) == [FORMATS[name].ending, *([second] if second else [])]


def test_which_formats_hold_what():
    assert formats_of("images") == ["parquet", "webdataset", "imagefolder", "npy"]
    assert formats_of("points") == ["parquet", "npy", "csv"]


def test_parquet_has_each_image_once():
    """Also where two are equal, and none as the least or the most of a column: the page shows those that it finds."""
    shard = images(5)
    shard.data[1] = shard.data[0]
    assert FORMATS["parquet"].write(shard)[".parquet"].count(b"\x89PNG") == 5


@pytest.mark.parametrize("shard", [images(), images(colour=True, prompt="a thin seven"), images(labelled=False)])
def test_parquet_has_images_as_hugging_face_has_them(shard):
    table = pq.read_table(io.BytesIO(FORMATS["parquet"].write(shard)[".parquet"]))
    rows = table.to_pylist()
    assert [opened(row["image"]["bytes"]).tolist() for row in rows] == shard.data.tolist()
    assert [row["image"]["path"] for row in rows] == [f"0000{number:04d}.png" for number in shard.numbers]
    assert [row["seed"] for row in rows] == shard.seeds.tolist()
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert list(features) == table.column_names and features["image"] == {"_type": "Image"}
    if shard.classes is None:
        assert "label" not in table.column_names
    else:
        assert [row["label"] for row in rows] == shard.classes.tolist()
        assert features["label"] == {"names": list(NAMES), "_type": "ClassLabel"}
    assert ({row["prompt"] for row in rows} == {shard.prompt}) if shard.prompt else "prompt" not in table.column_names


@pytest.mark.parametrize("written", ["text", "whole", "boolean"])
def test_a_chunk_without_rows_has_the_types_of_one_with_rows(written):
    """Else readers of several files find columns of different types."""
    name = {"text": "zero", "whole": "7", "boolean": "true"}[written]
    table = (
        NumberColumn(name="age", low=0, high=9, fill=1),
        CategoryColumn(name="kind", categories=("a", "b")),
        LabelColumn(name="class", written=written),
    )
    data, numbers, classes = np.array([[1.0, 1.0, 0.0]], np.float32), np.arange(1), np.zeros(1, np.int64)
    schemas = []
    for n in (1, 0):
        shard = Shard(
            data[:n], numbers[:n], numbers[:n], classes[:n], (name,), ("age", "kind=a", "kind=b"), "old", table
        )
        schemas.append(pq.read_table(io.BytesIO(FORMATS["parquet"].write(shard)[".parquet"])).schema)
    assert schemas[0].equals(schemas[1], check_metadata=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_parquet_and_csv_have_points_column_by_column_to_the_bit(dtype):
    shard = points(("seed", "label"), dtype)
    table = pq.read_table(io.BytesIO(FORMATS["parquet"].write(shard)[".parquet"]))
    assert table.column_names == ["seed", "label", "label_", "seed_"]
    assert np.stack([table["seed"].to_numpy(), table["label"].to_numpy()], 1).tobytes() == shard.data.tobytes()
    text = FORMATS["csv"].write(shard)[".csv"].decode()
    header, *lines = csv.reader(io.StringIO(text, newline=""))
    assert header == ["seed", "label", "label_", "seed_"]
    assert np.array([line[:2] for line in lines], dtype).tobytes() == shard.data.tobytes()
    assert [line[2] for line in lines] == [NAMES[number] for number in shard.classes]
    assert [int(line[3]) for line in lines] == shard.seeds.tolist()


def test_npy_has_samples_and_classes():
    files = FORMATS["npy"].write(images())
    assert np.load(io.BytesIO(files[".npy"])).tolist() == images().data.tolist()
    assert np.load(io.BytesIO(files[".labels.npy"])).tolist() == images().classes.tolist()
    assert list(FORMATS["npy"].write(images(labelled=False))) == [".npy"]


def test_a_tar_has_each_rows_files_side_by_side():
    """As WebDataset groups them: by the name before the first dot, in the order of the tar."""
    with tarfile.open(fileobj=io.BytesIO(FORMATS["webdataset"].write(images())[".tar"])) as tar:
        content = {name: tar.extractfile(name).read() for name in tar.getnames()}
    assert list(content)[:4] == ["00000007.png", "00000007.cls", "00000007.json", "00000008.png"]
    for index, number in enumerate(images().numbers):
        assert opened(content[f"{number:08d}.png"]).tolist() == images().data[index].tolist()
        assert int(content[f"{number:08d}.cls"]) == images().classes[index]
        assert json.loads(content[f"{number:08d}.json"]) == {"label": NAMES[index % 3], "seed": 107 + index}


def test_torchvision_reads_an_unzipped_folder(tmp_path):
    shard = images(colour=True)
    with zipfile.ZipFile(io.BytesIO(FORMATS["imagefolder"].write(shard)[".zip"])) as archive:
        archive.extractall(tmp_path)
    folder = torchvision.datasets.ImageFolder(tmp_path)
    assert folder.classes == sorted(["zero", "one", "a%2Fb"])
    read = {path.rpartition("/")[2]: (np.asarray(folder.loader(path)), label) for path, label in folder.samples}
    for index, number in enumerate(shard.numbers):
        pixels, label = read[f"{number:08d}.png"]
        assert pixels.tolist() == shard.data[index].tolist()
        assert folder.classes[label] == folder_name(NAMES[index % 3])
    lines = [json.loads(line) for line in (tmp_path / "metadata.jsonl").read_text().splitlines()]
    assert [line["seed"] for line in lines] == shard.seeds.tolist()
    assert all((tmp_path / line["file_name"]).exists() for line in lines)


def test_names_of_folders_stay_apart_and_inside():
    names = ["a/b", "a%2Fb", "..", ".", "a\\b", "x.", "x", "CON:", "naïve", "a b", "tab\t"]
    made = [folder_name(name) for name in names]
    assert len(set(made)) == len(names)
    assert all("/" not in one and one not in ("", ".", "..") for one in made)
    assert folder_name("naïve") == "naïve" and folder_name("7") == "7"


@pytest.mark.slow  # their imports take seconds
@pytest.mark.filterwarnings("ignore")
def test_the_fields_own_loaders_read_them(tmp_path, monkeypatch):
    """Hugging Face's datasets and webdataset themselves."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets
    import webdataset

    shard = images()
    for name in ("parquet", "webdataset", "imagefolder"):
        for ending, content in FORMATS[name].write(shard).items():
            (tmp_path / f"part-00000{ending}").write_bytes(content)
    loaded = datasets.load_dataset(
        "parquet", data_files=str(tmp_path / "part-*.parquet"), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert loaded.features["label"] == datasets.ClassLabel(names=list(NAMES))
    assert [np.asarray(row["image"]).tolist() for row in loaded] == shard.data.tolist()
    assert loaded["label"][:] == shard.classes.tolist()
    rows = webdataset.WebDataset(str(tmp_path / "part-00000.tar"), shardshuffle=False).decode("pil")
    read = list(rows.to_tuple("png", "cls", "json"))
    assert [np.asarray(image.convert("L")).tolist() for image, _, _ in read] == shard.data.tolist()
    assert [number for _, number, _ in read] == shard.classes.tolist()
    other = replace(shard, numbers=shard.numbers + 5, seeds=shard.seeds + 5)
    (tmp_path / "part-00001.zip").write_bytes(FORMATS["imagefolder"].write(other)[".zip"])
    zipped = datasets.load_dataset(
        "imagefolder", data_files=str(tmp_path / "part-*.zip"), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert sorted(zip(zipped["seed"], zipped["label"], strict=True)) == [
        (seed, NAMES[index % 3]) for one in (shard, other) for index, seed in enumerate(one.seeds.tolist())
    ]
