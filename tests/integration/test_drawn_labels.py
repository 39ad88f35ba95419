"""A request that asks for nothing: each sample's label is drawn from the training proportions by its seed."""

import csv
import io
import json
import zipfile

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image

from model.checkpoints.base import save_checkpoint
from model.label_prior import drawn_labels
from model.noise import sample_seeds
from service.app import create_app
from service.settings import Settings
from tests.integration.conftest import wait_until_ready
from tests.integration.test_stream import events_of
from tests.tiny import IMAGES, POINTS, save_tiny, tiny_checkpoint, tiny_classifier

SHARES = (0.1, 0.05, 0.2, 0.0, 0.15, 0.1, 0.1, 0.1, 0.1, 0.1)
NAMES = tuple(f"no. {digit}, or so" for digit in range(10))  # a header cannot have them as they are
DIGITS = IMAGES.model_copy(update={"labels": NAMES})
FIELDS = {"dataset": "mnist", "n": 6, "seed": 2**63 - 3}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    for data, name, shares in ((DIGITS, "mnist-cfg", SHARES), (POINTS, "spiral-cfg", (0.25, 0.75))):
        one = tiny_checkpoint(data, name, guidance_scale=2.5)
        save_checkpoint(folder / name, one.config.model_copy(update={"label_shares": shares}), one.network)
        save_tiny(folder, data.model_copy(update={"labels": ()}), name=name.replace("cfg", "ddpm"))
        guide = tiny_classifier(data)
        save_checkpoint(folder / guide.config.name, guide.config, guide.network)
    with TestClient(create_app(Settings(checkpoints=folder, device="cpu"))) as client:
        wait_until_ready(client)
        yield client


def ask(client, fields, accept="application/json"):
    answer = client.post("/sample", json=fields, headers={"Accept": accept})
    assert answer.status_code == 200, answer.text
    return answer


def samples(client, fields) -> np.ndarray:
    return np.load(io.BytesIO(ask(client, fields, "application/x-npy").content))


def drawn(fields, shares, names) -> list[str]:
    """The labels that the request's seeds draw."""
    seeds = torch.from_numpy(sample_seeds(fields["seed"], fields["n"]))
    return [names[number] for number in drawn_labels(seeds, shares).tolist()]


def test_the_answer_says_so_and_lists_the_labels_in_every_representation(client):
    labels = drawn(FIELDS, SHARES, NAMES)
    assert len(set(labels)) > 1
    listed = ",".join(label.replace(" ", "%20").replace(",", "%2C") for label in labels)
    answer = ask(client, FIELDS)
    body = answer.json()
    assert body["labels_drawn"] is True and [one["label"] for one in body["images"]] == labels
    assert (body["model"], body["guidance"], body["guidance_scale"]) == ("mnist-cfg", "none", None)
    for accept in ("application/json", "image/png", "application/zip", "application/x-npy", "text/event-stream"):
        assert ask(client, FIELDS, accept).headers["x-drawn-labels"] == listed
    png = Image.open(io.BytesIO(ask(client, FIELDS, "image/png").content))
    assert json.loads(png.text["Parameters"])["label"] == labels
    archive = zipfile.ZipFile(io.BytesIO(ask(client, FIELDS, "application/zip").content))
    records = [json.loads(line) for line in archive.read("metadata.jsonl").splitlines()]
    assert [record["label"] for record in records] == labels
    (result,) = [data for name, data in events_of(ask(client, FIELDS, "text/event-stream")) if name == "result"]
    assert result["labels_drawn"] is True and [one["label"] for one in result["images"]] == labels


def test_points_are_listed_with_their_labels_too(client):
    fields = {"dataset": "spiral", "n": 400, "seed": 1}
    labels = drawn(fields, (0.25, 0.75), POINTS.labels)
    answer = ask(client, fields)
    assert answer.json()["labels"] == labels and answer.json()["labels_drawn"] is True
    rows = list(csv.DictReader(io.StringIO(ask(client, fields, "text/csv").text)))
    assert [row["label"] for row in rows] == labels
    header = answer.headers["x-drawn-labels"]
    assert 900 < len(header) <= 1000 and header.split(",") == labels[: header.count(",") + 1]


def test_samples_are_those_of_the_same_labels_asked_for_without_guidance(client):
    batch, answer = samples(client, FIELDS), ask(client, FIELDS).json()
    labels = [one["label"] for one in answer["images"]]
    assert np.array_equal(batch, samples(client, FIELDS | {"label": labels, "guidance": "none"}))
    fields = {key: value for key, value in answer.items() if key not in ("images", "labels_drawn")}
    for index, one in enumerate(answer["images"]):
        named = {"n": 1, "seed": one["seed"]}
        assert np.array_equal(samples(client, fields | named | {"label": one["label"]})[0], batch[index])
        assert np.array_equal(samples(client, {"dataset": "mnist"} | named)[0], batch[index])


@pytest.mark.parametrize(("dataset", "model"), [("mnist", "mnist-ddpm"), ("spiral", "spiral-ddpm")])
def test_the_unconditional_model_answers_where_it_is_pinned(client, dataset, model):
    answer = ask(client, {"dataset": dataset, "n": 2, "model": model})
    body = answer.json()
    assert body["model"] == model and "labels_drawn" not in body and "x-drawn-labels" not in answer.headers
    assert [one["label"] for one in body["images"]] == [None, None] if dataset == "mnist" else body["labels"] is None


def test_what_is_asked_for_is_never_drawn(client):
    for fields in ({"label": 3}, {"label": 3, "guidance": "classifier"}):
        answer = ask(client, {"dataset": "mnist"} | fields)
        assert "labels_drawn" not in answer.json() and "x-drawn-labels" not in answer.headers
        assert answer.json()["images"][0]["label"] == NAMES[3]


def test_the_ways_say_so(client):
    datasets = client.get("/models").json()["datasets"]
    for dataset, shares in (("mnist", SHARES), ("spiral", (0.25, 0.75))):
        ways = [way for way in datasets[dataset]["ways"] if way["asks"] == "nothing"]
        assert [(way["model"], way["draws_labels"]) for way in ways] == [
            (f"{dataset}-cfg", True), (f"{dataset}-ddpm", False),
        ]  # fmt: skip
        assert not any(way["draws_labels"] for way in datasets[dataset]["ways"] if way["asks"] != "nothing")
        known = {model["name"]: model["label_shares"] for model in datasets[dataset]["models"]}
        assert known == {f"{dataset}-cfg": list(shares), f"{dataset}-ddpm": []}
