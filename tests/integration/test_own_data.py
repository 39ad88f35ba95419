"""Checkpoints of somebody's own data: taken up by a reload, and asked for colour, other sizes, any dimensions."""

import base64
import csv
import io
import json
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from model.data import DataConfig
from service.requests.picture_options import largest_zoom
from tests.tiny import save_tiny

FLOWERS = DataConfig(
    dataset="flowers",
    kind="images",
    shape=(3, 16, 8),
    labels=("10", "rose", "2"),
    mean=(120.0, 110.0, 100.0),
    std=(127.5,),
    clip=1.2,
)
WINE = DataConfig(
    dataset="wine",
    kind="points",
    shape=(3,),
    labels=("red", "white"),
    names=("alcohol", "2", "colour, hue"),
    mean=(13.0, 500.0, 0.0),
    std=(1.0, 200.0, 0.1),
)
HEIGHTS = DataConfig(dataset="heights", kind="points", shape=(1,), std=(1.0,))
MANY = DataConfig(dataset="many", kind="points", shape=(64,), std=(1.0,))
ROSE = {"dataset": "flowers", "label": "rose", "seed": 3}
KEY = {"Authorization": "Bearer key"}


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A client of an app to which everything here came by a reload."""
    from fastapi.testclient import TestClient

    from service.app import create_app
    from service.settings import Settings
    from tests.integration.conftest import wait_until_ready

    folder, made = tmp_path_factory.mktemp("served"), tmp_path_factory.mktemp("made")
    save_tiny(folder, HEIGHTS)
    app = create_app(Settings(checkpoints=folder, device="cpu", api_key="key"))
    with TestClient(app, headers=KEY) as client:
        wait_until_ready(client)
        assert client.post("/sample", json=ROSE).status_code == 404
        for data in (FLOWERS, WINE, MANY):
            shutil.copytree(save_tiny(made, data), folder / f"{data.dataset}-tiny")
        loaded = client.post("/admin/reload").json()["loaded"]
        assert loaded == ["flowers-tiny", "many-tiny", "wine-tiny"]
        yield client


def ask(client, fields, accept="*/*"):
    return client.post("/sample", json=fields, headers={"Accept": accept})


def images_of(client, fields) -> np.ndarray:
    return np.load(io.BytesIO(ask(client, fields, "application/x-npy").content))


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def test_models_tells_of_them(own):
    datasets = own.get("/models").json()["datasets"]
    assert datasets["flowers"]["labels"] == ["10", "rose", "2"] and datasets["flowers"]["shape"] == [3, 16, 8]
    assert datasets["wine"]["columns"] == ["alcohol", "2", "colour, hue"]
    assert datasets["heights"]["columns"] == ["x"] and datasets["many"]["columns"][-1] == "x63"
    assert datasets["flowers"]["columns"] == []


def test_colour_is_colour_in_every_representation(own):
    images = images_of(own, ROSE | {"n": 3})
    assert images.shape == (3, 16, 8, 3) and images.dtype == np.uint8
    assert (images[..., 0] != images[..., 1]).any()
    sheet = pixels(ask(own, ROSE | {"n": 3}).content)
    assert sheet.shape == (33, 17, 3)
    np.testing.assert_array_equal(sheet[17:, :8], images[2])
    answer = ask(own, ROSE | {"n": 3}, "application/json").json()
    np.testing.assert_array_equal(pixels(base64.b64decode(answer["images"][1]["b64_png"])), images[1])
    archive = zipfile.ZipFile(io.BytesIO(ask(own, ROSE | {"n": 3}, "application/zip").content))
    np.testing.assert_array_equal(pixels(archive.read("0002.png")), images[2])
    stream = ask(own, ROSE | {"n": 3, "previews": 1}, "text/event-stream").text
    events = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith("data: ")]
    assert pixels(base64.b64decode(events[0]["b64_png"])).shape == (33, 17, 3)


@pytest.mark.parametrize(
    ("label", "means"),
    [("rose", "rose"), (1, "rose"), ("1", "rose"), ("10", "10"), (10, "10"), (0, "10"), (2, "2"), ("2", "2")],
)
def test_a_label_is_a_name_first_and_then_a_number(own, label, means):
    fields = {"dataset": "flowers", "seed": 3}
    answer = ask(own, fields | {"label": label}, "application/json").json()
    assert answer["images"][0]["label"] == means
    assert answer["images"] == ask(own, fields | {"label": means}, "application/json").json()["images"]
    answered = own.get(f"/sample?dataset=flowers&seed=3&label={label}", headers={"Accept": "application/json"}).json()
    assert answered["images"] == answer["images"]


def test_a_list_of_labels_may_mix_names_and_numbers(own):
    answer = ask(own, {"dataset": "flowers", "label": ["rose", 10, "2", 0]}, "application/json").json()
    assert [one["label"] for one in answer["images"]] == ["rose", "10", "2", "10"]


def test_names_of_columns_survive(own):
    fields = {"dataset": "wine", "label": "white", "n": 4, "seed": 1}
    points = images_of(own, fields)
    assert points.shape == (4, 3)
    assert points[:, 1].mean() > 50  # in the data's own units
    rows = list(csv.DictReader(io.StringIO(ask(own, fields, "text/csv").text)))
    read = [[float(row[name]) for name in WINE.names] for row in rows]
    np.testing.assert_allclose(read, points, rtol=1e-6)
    assert {row["label"] for row in rows} == {"white"}
    assert ask(own, fields).json()["columns"] == list(WINE.names)


def test_points_of_one_and_of_many_dimensions(own):
    assert np.load(io.BytesIO(ask(own, {"dataset": "many", "n": 5}, "application/x-npy").content)).shape == (5, 64)
    assert len(ask(own, {"dataset": "many", "n": 2}).json()["points"][0]) == 64
    assert ask(own, {"dataset": "heights", "n": 5}, "text/csv").text.startswith("x\r\n")
    assert pixels(ask(own, {"dataset": "heights"}, "image/png").content).shape == (640, 640, 3)


def test_a_picture_shows_the_two_dimensions_that_are_asked_for(own):
    fields = {"dataset": "wine", "n": 50, "seed": 1}

    def picture(axes=None) -> bytes:
        answer = ask(own, fields | ({} if axes is None else {"axes": axes}), "image/png")
        assert answer.status_code == 200, answer.text
        return answer.content

    assert picture() == picture([0, 1]) == picture(["alcohol", 1])
    assert picture([0, 2]) == picture([0, 1])  # the second is called 2
    assert picture(["alcohol", "colour, hue"]) != picture()
    assert picture([1, 0]) != picture([0, 1])
    linked = own.get("/sample?dataset=wine&n=50&seed=1&axes=alcohol,1", headers={"Accept": "image/*"})
    assert linked.content == picture()
    repeated = own.get(
        "/sample", params={"dataset": "wine", "n": 50, "seed": 1, "axes": [1, 0]}, headers={"Accept": "image/*"}
    )
    assert repeated.content == picture([1, 0])


@pytest.mark.parametrize(
    ("fields", "accept", "field", "says"),
    [
        (ROSE | {"label": "tulip"}, "*/*", "label", "one of 10, rose, 2, or its number 0 … 2"),
        (ROSE | {"axes": [0, 1]}, "image/png", "axes", "points only"),
        ({"dataset": "wine", "axes": [0, 1]}, "*/*", "axes", "Accept: image/png only"),
        (
            {"dataset": "wine", "axes": [0, 3]},
            "image/png",
            "axes",
            "two of alcohol, 2, colour, hue, or their numbers 0",
        ),
        ({"dataset": "wine", "axes": [0, "alcohol"]}, "image/png", "axes", "two of"),
        ({"dataset": "wine", "axes": [0]}, "image/png", "axes", "2"),
        ({"dataset": "heights", "axes": [0, 1]}, "image/png", "axes", "has one dimension"),
        ({"dataset": "many", "axes": ["x", 1]}, "image/png", "axes", "… (64 in all, see /models)"),
    ],
)
def test_what_cannot_be_is_named(own, fields, accept, field, says):
    answer = ask(own, fields, accept)
    assert answer.status_code == 422
    (error,) = [one for one in answer.json()["errors"] if one["field"].startswith(field)]
    assert says in error["detail"]


def test_a_sheet_has_a_largest_size():
    photographs = FLOWERS.model_copy(update={"shape": (3, 64, 64)})
    assert largest_zoom(photographs, 64) == 7
    assert largest_zoom(photographs, 1) == 64
    assert largest_zoom(FLOWERS.model_copy(update={"shape": (3, 8, 5000)}), 1) == 1
