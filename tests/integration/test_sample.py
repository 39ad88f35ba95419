"""POST and GET /sample: every row of the contract's answer table."""

import base64
import csv
import io
import json
import re
import zipfile

import numpy as np
import pytest
from PIL import Image

from model.noise_schedule import make_schedule
from model.plan import make_plan
from tests.tiny import IMAGES, save_tiny

SEVEN = {"dataset": "mnist", "label": 7, "seed": 3}
INNER = {"dataset": "spiral", "label": "inner", "n": 20, "seed": 3}


def ask(client, fields, accept="*/*", **options):
    return client.post("/sample", json=fields, headers={"Accept": accept}, **options)


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def images_of(client, fields) -> np.ndarray:
    answer = ask(client, fields, "application/x-npy")
    assert answer.status_code == 200, answer.text
    return np.load(io.BytesIO(answer.content))


def test_an_image_is_a_png_with_its_parameters_inside(client):
    answer = ask(client, SEVEN)
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-seed"] == "3" and answer.headers["x-model"] == "mnist-tiny"
    assert answer.headers["vary"] == "Accept" and answer.headers["x-request-id"]
    assert all(part in answer.headers["server-timing"] for part in ("queue;", "sample;", "encode;"))
    image = Image.open(io.BytesIO(answer.content))
    assert image.size == (8, 8) and image.mode == "L"
    assert image.text["Seed"] == "3"
    assert json.loads(image.text["Parameters"])["label"] == "7"


def test_the_same_seed_gives_the_same_bytes_and_another_another(client):
    assert ask(client, SEVEN).content == ask(client, SEVEN).content
    assert not np.array_equal(pixels(ask(client, SEVEN).content), pixels(ask(client, SEVEN | {"seed": 4}).content))


def test_a_seed_that_is_not_given_is_drawn_and_can_be_used_again(client):
    first = ask(client, {"dataset": "mnist", "label": 7})
    again = ask(client, {"dataset": "mnist", "label": 7, "seed": int(first.headers["x-seed"])})
    assert first.content == again.content


@pytest.mark.parametrize(
    "fields", [SEVEN, {"dataset": "mnist"}, SEVEN | {"guidance": "none"}, SEVEN | {"sampler": "ddpm"}]
)
def test_a_sample_asked_alone_by_what_was_answered_is_the_same(client, fields):
    answer = ask(client, fields | {"n": 5, "seed": 2**63 - 3}, "application/json").json()
    batch = images_of(client, fields | {"n": 5, "seed": 2**63 - 3})
    assert [one["seed"] for one in answer["images"]] == [2**63 - 3, 2**63 - 2, 2**63 - 1, 0, 1]
    asked = {key: value for key, value in answer.items() if key != "images"}
    for index, one in enumerate(answer["images"]):
        alone = images_of(client, asked | {"label": one["label"], "seed": one["seed"], "n": 1})
        np.testing.assert_array_equal(alone[0], batch[index])


def test_many_images_are_a_contact_sheet_of_them(client):
    fields = SEVEN | {"n": 3}
    sheet, images = pixels(ask(client, fields).content), images_of(client, fields)
    assert sheet.shape == (17, 17)
    np.testing.assert_array_equal(sheet[:8, :8], images[0])
    np.testing.assert_array_equal(sheet[:8, 9:], images[1])
    np.testing.assert_array_equal(sheet[9:, :8], images[2])


def test_zoom_repeats_pixels(client):
    np.testing.assert_array_equal(
        pixels(ask(client, SEVEN | {"zoom": 3}).content), images_of(client, SEVEN)[0].repeat(3, 0).repeat(3, 1)
    )


def test_images_as_json(client):
    answer = ask(client, SEVEN | {"n": 2}, "application/json").json()
    assert (answer["sampler"], answer["steps"]) == ("dpmpp-2m", 4)
    assert (answer["guidance"], answer["guidance_scale"]) == ("classifier-free", 1.5)
    assert [image["label"] for image in answer["images"]] == ["7", "7"]
    decoded = pixels(base64.b64decode(answer["images"][1]["b64_png"]))
    np.testing.assert_array_equal(decoded, images_of(client, SEVEN | {"n": 2})[1])


def test_images_as_a_zip_with_metadata_and_fixed_timestamps(client):
    answer = ask(client, SEVEN | {"n": 2}, "application/zip")
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    records = [json.loads(line) for line in archive.read("metadata.jsonl").splitlines()]
    assert [(record["label"], record["seed"]) for record in records] == [("7", 3), ("7", 4)]
    images = images_of(client, SEVEN | {"n": 2})
    for record, image in zip(records, images, strict=True):
        np.testing.assert_array_equal(pixels(archive.read(record["file_name"])), image)
    assert answer.content == ask(client, SEVEN | {"n": 2}, "application/zip").content


def test_points_as_json_npy_csv_and_a_picture(client):
    answer = ask(client, INNER)
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert body["labels"] == ["inner"] * 20
    points = np.load(io.BytesIO(ask(client, INNER, "application/x-npy").content))
    assert points.dtype == np.float32
    np.testing.assert_allclose(body["points"], points, rtol=1e-7)
    rows = list(csv.DictReader(io.StringIO(ask(client, INNER, "text/csv").text)))
    np.testing.assert_allclose([[float(row["x"]), float(row["y"])] for row in rows], points, rtol=1e-6)
    assert {row["label"] for row in rows} == {"inner"}
    assert Image.open(io.BytesIO(ask(client, INNER, "image/png").content)).text["Seed"] == "3"


def test_points_default_to_five_hundred_without_labels(client):
    body = ask(client, {"dataset": "spiral"}).json()
    assert len(body["points"]) == 500 and body["labels"] is None
    assert body["guidance"] == "none" and body["guidance_scale"] is None


def test_ten_thousand_points(client):
    assert len(ask(client, {"dataset": "spiral", "n": 10_000, "steps": 2}).json()["points"]) == 10_000


def test_one_label_for_each_sample(client):
    body = ask(client, {"dataset": "mnist", "label": [1, "2", 3], "seed": 0}, "application/json").json()
    assert [image["label"] for image in body["images"]] == ["1", "2", "3"]


def test_guidance_none_with_a_label_is_scale_one(client):
    np.testing.assert_array_equal(
        images_of(client, SEVEN | {"guidance": "none"}), images_of(client, SEVEN | {"guidance_scale": 1.0})
    )


def test_scale_zero_is_the_unconditional_model(client):
    np.testing.assert_array_equal(
        images_of(client, SEVEN | {"guidance_scale": 0}), images_of(client, {"dataset": "mnist", "seed": 3})
    )


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("dataset=mnist&label=7&seed=3", SEVEN),
        ("dataset=mnist&label=1,2&seed=3&zoom=2", {"dataset": "mnist", "label": [1, 2], "seed": 3, "zoom": 2}),
        ("dataset=mnist&label=1&label=2&seed=3", {"dataset": "mnist", "label": [1, 2], "seed": 3}),
        ("dataset=mnist&seed=3&sampler=ddim&eta=0.5&steps=3",
         {"dataset": "mnist", "seed": 3, "sampler": "ddim", "eta": 0.5, "steps": 3}),
        ("dataset=spiral&label=outer&n=5&seed=3", {"dataset": "spiral", "label": "outer", "n": 5, "seed": 3}),
    ],
)  # fmt: skip
def test_get_is_the_same_as_post(client, query, fields):
    answer = client.get(f"/sample?{query}")
    assert answer.status_code == 200
    assert answer.content == ask(client, fields).content


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", "image/png"),
        ("image/*", "image/png"),
        ("text/html, application/json;q=0.9, */*;q=0.1", "application/json"),
        ("image/png;q=0.2, application/zip", "application/zip"),
        ("image/png;q=0, */*", "application/json"),
        ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", "image/png"),
    ],
)
def test_accept_is_weighed(client, accept, media_type):
    assert ask(client, SEVEN, accept).headers["content-type"] == media_type


@pytest.mark.parametrize("agent", ["curl/8.0", "python-httpx/0.28", "Mozilla/5.0"])
@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded"])
def test_every_client_gets_what_its_header_says(client, agent, content_type):
    """Also curl: a command that Swagger UI shows answers as the page did."""
    asked = {"User-Agent": agent, "Content-Type": content_type}
    for accept, media_type in (("application/json", "application/json"), ("*/*", "image/png")):
        answer = client.post("/sample", content=json.dumps(SEVEN), headers=asked | {"Accept": accept})
        assert answer.headers["content-type"] == media_type


GUIDED = SEVEN | {"guidance_scale": 3.0, "steps": 6, "n": 2}


def test_guidance_holds_within_its_interval(client):
    plain, guided = images_of(client, GUIDED | {"guidance_scale": 1.0}), images_of(client, GUIDED)
    assert not np.array_equal(plain, guided)
    for interval, expected in {(0, 1e9): guided, (0, 0): plain, (1e8, 1e9): plain}.items():
        np.testing.assert_array_equal(images_of(client, GUIDED | {"guidance_interval": interval}), expected)
    between = images_of(client, GUIDED | {"guidance_interval": [0.3, 5]})
    assert not np.array_equal(between, plain) and not np.array_equal(between, guided)


def test_an_interval_is_answered_and_asked_for_in_a_link(client):
    fields = GUIDED | {"guidance_interval": [0.3, 5]}
    answer = ask(client, fields, "application/json").json()
    assert answer["guidance_interval"] == [0.3, 5]
    assert ask(client, GUIDED, "application/json").json()["guidance_interval"] is None
    link = client.get("/sample", params=GUIDED | {"guidance_interval": "0.3,5"}, headers={"Accept": "application/json"})
    assert link.json() == answer
    png = Image.open(io.BytesIO(ask(client, fields).content))
    assert json.loads(png.text["Parameters"])["guidance_interval"] == [0.3, 5]


def evaluations(client) -> float:
    found = re.search(r'network_evaluations_total{device="cpu",model="mnist-tiny"} (\S+)', client.get("/metrics").text)
    return float(found[1]) if found else 0.0


def test_a_step_outside_of_the_interval_costs_one_evaluation(make_client):
    client = make_client()
    counts = []
    for interval in ([0, 1e9], [0.3, 5], [0, 0]):
        before = evaluations(client)
        images_of(client, GUIDED | {"guidance_interval": interval})
        counts.append(evaluations(client) - before)
    levels = make_plan(make_schedule("cosine", 50), "dpmpp-2m", 6).noise_level
    assert counts == [24, 2 * (6 + ((levels >= 0.3) & (levels <= 5)).sum()), 12]


def test_an_interval_that_a_card_advises_is_taken_where_neither_it_nor_a_scale_is_asked_for(make_client, tmp_path):
    """Outside it a row is plain conditional: at scale 0 it would not ignore the label."""
    save_tiny(tmp_path, IMAGES, guidance_interval=(0.3, 5))
    client = make_client(checkpoints=tmp_path)
    assert client.get("/models").json()["datasets"]["mnist"]["models"][0]["defaults"]["guidance_interval"] == [0.3, 5]
    for fields, expected in (
        ({}, [0.3, 5]),
        ({"guidance_interval": [0, 3]}, [0, 3]),
        ({"guidance_scale": 0}, None),
        ({"guidance_scale": 3, "guidance_interval": [0, 3]}, [0, 3]),
        ({"guidance": "none"}, None),
        ({"label": None}, None),
    ):
        answer = ask(client, SEVEN | fields, "application/json").json()
        assert answer["guidance_interval"] == expected


@pytest.mark.parametrize(
    ("changed", "detail"),
    [
        ({"guidance_interval": [5, 0.3]}, "the lower noise level comes first"),
        ({"guidance_interval": [-1, 3]}, "greater than or equal to 0"),
        ({"guidance_interval": [1]}, "at least 2 items"),
        ({"guidance_interval": [1, 2, 3]}, "at most 2 items"),
        ({"guidance_interval": [0, "a"]}, "valid number"),
        ({"guidance_interval": 3}, "valid list"),
        ({"guidance_interval": [0.3, 5], "label": None}, "a label, a prompt or a hint"),
        ({"guidance_interval": [0.3, 5], "guidance": "none"}, "classifier-free guidance only; the guidance is none"),
    ],
)
def test_an_interval_that_makes_no_sense_is_refused(client, changed, detail):
    answer = ask(client, SEVEN | changed)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["guidance_interval"]
    assert detail in answer.json()["errors"][0]["detail"]


@pytest.mark.parametrize("interval", ["nan,1", "0,inf", "5,0.3", "1", "a,b"])
def test_an_interval_in_a_link_is_held_to_the_same(client, interval):
    answer = client.get("/sample", params=SEVEN | {"guidance_interval": interval})
    assert answer.status_code == 422 and answer.json()["errors"][0]["field"] == "guidance_interval"


def test_an_interval_of_no_number_is_refused(client):
    body = '{"dataset": "mnist", "label": 7, "guidance_interval": [NaN, 1]}'
    answer = client.post("/sample", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
