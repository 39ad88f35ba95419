"""A model that reads clusters, over HTTP: each sample is of the cluster that its seed draws, and no answer shows it."""

import io
import json

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image

from model.checkpoints.base import save_checkpoint
from model.conditions import Conditions
from model.label_prior import drawn_labels
from model.noise import sample_seeds
from service.app import create_app
from service.media import plots
from service.settings import Settings
from tests.integration.conftest import wait_until_ready
from tests.integration.test_jobs import content, finished
from tests.integration.test_stream import events_of
from tests.tiny import POINTS, tiny_checkpoint, tiny_classifier, tiny_student
from training.generate import generate

SHARES = (0.2, 0.3, 0.5)
UNLABELLED = POINTS.model_copy(update={"dataset": "blobs", "labels": ()})
CLUSTERED = tiny_checkpoint(UNLABELLED, "blobs", cluster_shares=SHARES)
STUDENT = tiny_student(UNLABELLED, "blobs-fast", cluster_shares=SHARES, guidance_scale=1.0)
FIELDS = {"dataset": "blobs", "n": 40, "seed": 5}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    classifier = tiny_classifier(POINTS.model_copy(update={"dataset": "blobs"}))
    for one in (CLUSTERED, STUDENT, tiny_checkpoint(UNLABELLED, "blobs-ddpm"), classifier):
        save_checkpoint(folder / one.config.name, one.config, one.network)
    jobs = tmp_path_factory.mktemp("jobs")
    with TestClient(create_app(Settings(checkpoints=folder, device="cpu", jobs_dir=jobs))) as client:
        wait_until_ready(client)
        yield client


def ask(client, fields, accept="application/json"):
    answer = client.post("/sample", json=FIELDS | fields, headers={"Accept": accept})
    assert answer.status_code == 200, answer.text
    return answer


def samples(client, fields) -> np.ndarray:
    return np.load(io.BytesIO(ask(client, fields, "application/x-npy").content))


@pytest.mark.parametrize(("fields", "model"), [({}, CLUSTERED), ({"quality": "low"}, STUDENT)])
def test_each_sample_is_of_the_cluster_that_its_seed_draws(client, fields, model):
    clusters = drawn_labels(torch.from_numpy(sample_seeds(5, 40)), SHARES)
    assert set(clusters.tolist()) == {0, 1, 2}
    answer = ask(client, fields).json()
    assert answer["model"] == model.name
    conditions = Conditions.alike(40, label=clusters, guidance_scale=1.0)
    options = model.config.sampling.model_copy(update={"steps": answer["steps"]})
    expected = generate(model, conditions, options, seed=5)
    np.testing.assert_allclose(answer["points"], expected.numpy(), rtol=1e-3, atol=1e-4)
    alone = samples(client, fields | {"n": 1, "seed": 5 + 7})
    assert np.array_equal(alone[0], samples(client, fields)[7])


def test_no_representation_shows_a_cluster(client, monkeypatch):
    answer = ask(client, {})
    body = answer.json()
    assert (body["guidance"], body["labels"], body.get("labels_drawn")) == ("none", None, None)
    assert not [name for name in answer.headers if "label" in name or "cluster" in name]
    assert ask(client, {}, "text/csv").text.splitlines()[0] == "x,y"
    (result,) = [data for name, data in events_of(ask(client, {}, "text/event-stream")) if name == "result"]
    assert result["labels"] is None
    coloured = []
    scatter = plots.scatter
    monkeypatch.setattr(plots, "scatter", lambda data, classes, *rest, **more: (
        coloured.extend(classes) or scatter(data, classes, *rest, **more)
    ))  # fmt: skip
    picture = Image.open(io.BytesIO(ask(client, {}, "image/png").content))
    assert json.loads(picture.text["Parameters"])["label"] is None
    assert coloured == [0] * 40


def test_a_job_makes_the_same_rows_and_its_files_have_no_labels(client):
    (table,) = content(client, finished(client, **FIELDS, format="csv")).values()
    assert table.decode().splitlines()[0].split(",")[:2] == ["x", "y"] and b"label" not in table
    points = np.loadtxt(io.BytesIO(table), delimiter=",", skiprows=1)[:, :2]
    assert np.array_equal(points.astype(np.float32), samples(client, {}))


def test_models_say_how_many_there_are_and_offer_no_label_of_them(client):
    blobs = client.get("/models").json()["datasets"]["blobs"]
    models = {one["name"]: one for one in blobs["models"]}
    assert {name: one["clusters"] for name, one in models.items()} == {"blobs": 3, "blobs-fast": 3, "blobs-ddpm": 0}
    assert all(one["labels"] == one["label_shares"] == [] for one in models.values())
    assert models["blobs"]["guidance_models"] == [] and len(models["blobs-ddpm"]["guidance_models"]) == 1
    asked = {(way["asks"], way["model"]) for way in blobs["ways"]}
    assert asked == {("nothing", name) for name in models} | {("label", "blobs-ddpm")}
    assert not any(way["draws_labels"] for way in blobs["ways"])


def test_a_label_is_no_cluster(client):
    refused = client.post("/sample", json=FIELDS | {"label": 0, "model": "blobs"})
    assert refused.status_code == 422 and "it has no labels" in refused.text
    guided = ask(client, {"label": "inner"}).json()
    assert (guided["model"], guided["guidance"]) == ("blobs-ddpm", "classifier")


def test_what_begins_from_data_is_of_no_cluster(client):
    given = ask(client, {"given": {"0": 0.5}, "model": "blobs", "n": 2}).json()
    assert given["model"] == "blobs" and [point[0] for point in given["points"]] == [0.5, 0.5]
