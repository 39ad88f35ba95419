"""Autoguidance over HTTP."""

import base64
import io

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from model.checkpoints.base import save_checkpoint
from service.app import create_app
from service.settings import Settings
from tests.asking import ask
from tests.integration.conftest import wait_until_ready
from tests.integration.test_control import drawing
from tests.integration.test_jobs import content, finished
from tests.tiny import IMAGES, POINTS, save_tiny, tiny_autoguidance, tiny_checkpoint, tiny_clip, tiny_control

UNLABELLED = IMAGES.model_copy(update={"labels": ()})
AUTO = {"dataset": "mnist", "guidance": "auto", "seed": 3}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """`mnist` with an unconditional model that has a weak network, and a conditional one that has none; `spiral` with a
    conditional one that has one."""
    folder = tmp_path_factory.mktemp("checkpoints")
    plain = tiny_checkpoint(UNLABELLED, "mnist-ddpm", learned_variance=True)
    cfg, points = tiny_checkpoint(IMAGES, "mnist-cfg"), tiny_checkpoint(POINTS)
    beside = (tiny_autoguidance(plain), tiny_autoguidance(points, guidance_scale=1.5), tiny_control(cfg))
    for one in (plain, cfg, points, *beside):
        save_checkpoint(folder / one.config.name, one.config, one.network)
    clip = tiny_clip(IMAGES)
    save_checkpoint(folder / clip.name, clip.config, clip.network, clip.text)
    save_tiny(folder, POINTS.model_copy(update={"dataset": "gaussian"}), name="gaussian-cfg")
    jobs = tmp_path_factory.mktemp("jobs")
    with TestClient(create_app(Settings(checkpoints=folder, device="cpu", jobs_dir=jobs))) as client:
        wait_until_ready(client)
        yield client


def pixels(answer: dict) -> list:
    """Without the parameters, which a PNG carries too."""
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(one["b64_png"])))).tolist() for one in answer["images"]]


def test_the_model_that_has_a_weak_network_answers_at_its_card_s_scale(client):
    answer = ask(client, AUTO)
    assert (answer["model"], answer["guidance"], answer["guidance_scale"]) == ("mnist-ddpm", "auto", 2.0)
    assert (answer["sampler"], answer["steps"]) == ("ddim", 3)
    given_back = {key: value for key, value in answer.items() if key not in ("images", "prompt", "variance")}
    assert ask(client, given_back) == answer


def test_scale_1_is_the_model_alone_and_others_are_not(client):
    plain = pixels(ask(client, {"dataset": "mnist", "seed": 3, "model": "mnist-ddpm", "sampler": "ddim", "steps": 3}))
    assert pixels(ask(client, AUTO | {"guidance_scale": 1})) == plain
    assert pixels(ask(client, AUTO)) != plain


def test_each_sample_is_what_it_is_alone(client):
    together = pixels(ask(client, AUTO | {"n": 3}))
    assert together == [pixels(ask(client, AUTO | {"seed": 3 + index}))[0] for index in range(3)]


def test_a_labelled_model_and_its_weak_network_read_the_same_label(client):
    fields = {"dataset": "spiral", "guidance": "auto", "n": 4, "seed": 1}
    inner, outer = (ask(client, fields | {"label": label}) for label in ("inner", "outer"))
    assert (inner["guidance"], inner["guidance_scale"]) == ("auto", 1.5)
    off = ask(client, fields | {"label": "inner", "guidance_scale": 1})["points"]
    assert off == ask(client, fields | {"label": "inner", "guidance": "none", "sampler": "ddim", "steps": 3})["points"]
    assert len({str(points) for points in (inner["points"], outer["points"], off)}) == 3


def test_a_stream_and_a_job_give_the_same_samples(client):
    answer = ask(client, AUTO | {"n": 2})
    events = client.post("/sample", json=AUTO | {"n": 2, "previews": 2}, headers={"Accept": "text/event-stream"}).text
    assert all(image["b64_png"] in events for image in answer["images"])
    files = content(client, finished(client, **AUTO, n=2, format="npy"))
    assert np.load(io.BytesIO(files["part-00000.npy"])).tolist() == pixels(answer)


def test_a_sample_may_begin_from_a_picture(client):
    init = {"init": {"image": drawing(side=28), "strength": 0.7}}
    guided, plain = (pixels(ask(client, AUTO | init | scale)) for scale in ({}, {"guidance_scale": 1}))
    assert guided != plain


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"dataset": "gaussian"}, "gaussian has no weak network for autoguidance"),
        ({"dataset": "mnist", "model": "mnist-cfg"}, "mnist-cfg has no weak network for autoguidance"),
        ({"dataset": "mnist", "label": 7}, "mnist-ddpm is unconditional: it has no labels, as auto needs"),
        ({"dataset": "mnist", "prompt": "thin seven"}, "auto does not go with a prompt"),
        ({"dataset": "mnist", "control": {"kind": "canny", "image": drawing()}}, "auto does not go with a hint"),
        ({"dataset": "mnist", "guidance_interval": [0.3, 5]}, "classifier-free guidance only; the guidance is auto"),
        ({"dataset": "mnist", "guidance_scale": 21}, "0 … 20"),
    ],
)
def test_what_cannot_be_autoguided_says_why(client, fields, says):
    answer = client.post("/sample", json=fields | {"guidance": "auto"})
    assert answer.status_code == 422
    assert says in answer.text


def test_models_tell_of_the_weak_network(client):
    mnist = client.get("/models").json()["datasets"]["mnist"]
    assert "auto" in mnist["guidances"]
    (model,) = (one for one in mnist["models"] if one["name"] == "mnist-ddpm")
    (weak,) = (one for one in model["guidance_models"] if one["guidance"] == "auto")
    assert (weak["name"], weak["guidance_scale"], weak["steps"]) == ("mnist-ddpm-weak", 2.0, 3)
    assert "mnist-ddpm-weak" in model["engine"]["guidance_models"]
    assert "mnist-ddpm-weak" not in [one["name"] for one in mnist["models"]]
