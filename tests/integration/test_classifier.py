"""Classifier guidance over HTTP."""

import base64
import io

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from model.checkpoints.base import save_checkpoint
from model.samplers import SAMPLERS
from service.app import create_app
from service.settings import Settings
from tests.asking import ask
from tests.integration.conftest import wait_until_ready
from tests.tiny import IMAGES, POINTS, save_tiny, tiny_classifier

STEERED = {"dataset": "mnist", "label": 7, "guidance": "classifier", "guidance_scale": 2, "seed": 3}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """`mnist` with a conditional and an unconditional model and a classifier; `spiral` with a conditional one alone."""
    folder = tmp_path_factory.mktemp("checkpoints")
    save_tiny(folder, IMAGES, name="mnist-cfg")
    save_tiny(folder, IMAGES.model_copy(update={"labels": ()}), name="mnist-ddpm", learned_variance=True)
    save_tiny(folder, IMAGES, name="mnist-other", T=40)
    save_tiny(folder, POINTS)
    of_images = tiny_classifier(IMAGES)
    save_checkpoint(folder / "mnist-classifier", of_images.config, of_images.network)
    with TestClient(create_app(Settings(checkpoints=folder, device="cpu"))) as client:
        wait_until_ready(client)
        yield client


def pixels(answer: dict) -> list:
    """Without the parameters, which a PNG carries too."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(answer["images"][0]["b64_png"])))).tolist()


def test_the_unconditional_model_is_guided_to_the_label(client):
    answer = ask(client, STEERED)
    assert (answer["model"], answer["guidance"], answer["guidance_scale"]) == ("mnist-ddpm", "classifier", 2)
    assert [image["label"] for image in answer["images"]] == ["7"]
    other = ask(client, STEERED | {"label": 1})
    assert pixels(other) != pixels(answer)
    assert ask(client, STEERED) == answer


def test_scale_0_is_the_unconditional_model(client):
    off = ask(client, STEERED | {"guidance_scale": 0})
    plain = ask(client, {"dataset": "mnist", "seed": 3})
    assert plain["model"] == "mnist-ddpm"
    assert pixels(off) == pixels(plain)


def test_scale_0_on_a_conditional_model_is_its_conditional_prediction(client):
    pinned = STEERED | {"model": "mnist-cfg", "guidance_scale": 0}
    plain = {"dataset": "mnist", "label": 7, "guidance": "none", "seed": 3}
    assert pixels(ask(client, pinned)) == pixels(ask(client, plain))


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("model", ["mnist-cfg", "mnist-ddpm"])
def test_every_sampler_and_model_is_guided(client, sampler, model):
    fields = STEERED | {"model": model, "sampler": sampler, "guidance_scale": 5}
    guided = ask(client, fields)
    assert guided["model"] == model
    assert pixels(guided) != pixels(ask(client, fields | {"guidance_scale": 0}))


def test_a_mixed_batch_of_labels_is_what_each_is_alone(client):
    answer = client.post("/sample", json=STEERED | {"label": [7, 1, 4]}, headers={"Accept": "application/x-npy"})
    together = np.load(io.BytesIO(answer.content))
    for i, label in enumerate([7, 1, 4]):
        png = client.post("/sample", json=STEERED | {"label": label, "seed": 3 + i}).content
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png))), together[i])


def test_a_label_alone_still_means_classifier_free(client):
    assert ask(client, {"dataset": "mnist", "label": 7})["guidance"] == "classifier-free"


def test_a_label_on_an_unconditional_model_means_its_classifier(client):
    answer = ask(client, {"dataset": "mnist", "label": 7, "model": "mnist-ddpm"})
    assert (answer["guidance"], answer["guidance_scale"]) == ("classifier", 2.0)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"dataset": "spiral", "label": 1, "guidance": "classifier"}, "none, classifier-free"),
        ({"dataset": "mnist", "label": 1, "guidance": "classifier", "model": "mnist-other"}, "mnist-other has no"),
        ({"dataset": "mnist", "guidance": "classifier"}, "label"),
        ({"dataset": "mnist", "label": 11, "guidance": "classifier"}, "0 … 9"),
        ({"dataset": "mnist", "label": 1, "guidance": "classifier-free", "model": "mnist-ddpm"}, "unconditional"),
        ({"dataset": "mnist", "label": 1, "guidance": "classifier", "guidance_scale": 21}, "0 … 20"),
        (
            {"dataset": "mnist", "label": 1, "guidance": "classifier", "guidance_interval": [0.3, 5]},
            "classifier-free guidance only; the guidance is classifier",
        ),
    ],
)
def test_what_cannot_be_guided_says_why(client, fields, says):
    answer = client.post("/sample", json=fields)
    assert answer.status_code == 422
    assert says in answer.text


def test_models_tell_of_the_classifier(client):
    datasets = client.get("/models").json()["datasets"]
    assert datasets["mnist"]["guidances"] == ["none", "classifier-free", "classifier"]
    assert datasets["spiral"]["guidances"] == ["none", "classifier-free"]
    by_name = {
        model["name"]: [one["name"] for one in model["guidance_models"]] for model in datasets["mnist"]["models"]
    }
    assert by_name["mnist-cfg"] == by_name["mnist-ddpm"] == ["mnist-classifier"]
    assert by_name["mnist-other"] == []  # another T


def test_a_guided_request_is_streamed_to_the_same_bytes(client):
    fields = STEERED | {"steps": 6, "previews": 2}
    events = client.post("/sample", json=fields, headers={"Accept": "text/event-stream"}).text
    plain = ask(client, STEERED | {"steps": 6})
    assert plain["images"][0]["b64_png"] in events
