"""Hints over HTTP."""

import base64
import io
import struct
import zlib

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image, ImageDraw, ImageOps

from model.checkpoints.base import save_checkpoint
from model.hints import given_hint
from model.samplers import SAMPLERS
from service.app import create_app
from service.settings import Settings
from tests.asking import ask
from tests.integration.conftest import wait_until_ready
from tests.tiny import IMAGES, POINTS, save_tiny, tiny_checkpoint, tiny_classifier, tiny_control

BASE = tiny_checkpoint(IMAGES, name="mnist-cfg")


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """`mnist` with a conditional model that follows both kinds of hints and an unconditional one that follows none."""
    folder = tmp_path_factory.mktemp("checkpoints")
    save_tiny(folder, IMAGES, name="mnist-cfg")
    save_tiny(folder, IMAGES.model_copy(update={"labels": ()}), name="mnist-ddpm")
    save_tiny(folder, POINTS)
    classifier = tiny_classifier(IMAGES)
    stray = tiny_control(tiny_checkpoint(IMAGES, name="mnist-gone"), "sketch", name="mnist-control-stray")
    for one in (tiny_control(BASE, "canny"), tiny_control(BASE, "sketch"), classifier, stray):
        save_checkpoint(folder / one.config.name, one.config, one.network)
    with TestClient(create_app(Settings(checkpoints=folder, device="cpu"))) as client:
        wait_until_ready(client)
        yield client


def drawing(format: str = "PNG", side: int = 120) -> str:
    picture = Image.new("L", (side, side), 255)
    ImageDraw.Draw(picture).line([(side * 0.3, side * 0.2), (side * 0.7, side * 0.2), (side * 0.4, side * 0.8)], 0, 9)
    return encoded(picture, format)


def encoded(picture: Image.Image, format: str = "PNG") -> str:
    buffer = io.BytesIO()
    picture.save(buffer, format)
    return base64.b64encode(buffer.getvalue()).decode()


FOLLOWING = {"dataset": "mnist", "seed": 3, "control": {"kind": "sketch", "image": drawing()}}


def pixels(answer: dict) -> list:
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(one["b64_png"])))).tolist() for one in answer["images"]]


@pytest.mark.parametrize("kind", ["canny", "sketch"])
def test_the_answer_has_the_hint_as_it_was_understood_and_given_back_it_is_the_same_request(client, kind):
    fields = FOLLOWING | {"label": 7, "control": {"kind": kind, "image": drawing()}}
    answer = ask(client, fields)
    control = answer["control"]
    assert answer["model"] == "mnist-cfg"
    assert (control["kind"], control["scale"], control["preprocess"]) == (kind, 0.5, False)
    understood = np.asarray(Image.open(io.BytesIO(base64.b64decode(control["image"]))))
    given = np.asarray(Image.open(io.BytesIO(base64.b64decode(drawing()))))
    np.testing.assert_array_equal(understood, np.rint(255 * given_hint(given, kind, IMAGES.shape[1:])))
    again = ask(client, fields | {"control": control})
    assert again == answer


def test_without_a_hint_there_is_no_control_in_the_answer(client):
    assert "control" not in ask(client, {"dataset": "mnist", "label": 7})


def test_a_hint_changes_the_samples_and_scale_0_does_not(client):
    plain = pixels(ask(client, {"dataset": "mnist", "seed": 3, "model": "mnist-cfg", "sampler": "ddim", "steps": 3}))
    followed = pixels(ask(client, FOLLOWING))
    stronger = pixels(ask(client, FOLLOWING | {"control": FOLLOWING["control"] | {"scale": 2}}))
    assert plain != followed and followed != stronger
    assert pixels(ask(client, FOLLOWING | {"control": FOLLOWING["control"] | {"scale": 0}})) == plain


@pytest.mark.parametrize(
    "more", [{}, {"label": 7}, {"label": 7, "guidance_scale": 3}, {"label": 7, "guidance": "none"}]
)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_and_guidance_follows(client, sampler, more):
    fields = {"dataset": "mnist", "seed": 1, "model": "mnist-cfg", "sampler": sampler, **more}
    assert pixels(ask(client, fields | {"control": FOLLOWING["control"]})) != pixels(ask(client, fields))


def test_a_hint_alone_is_guided_in_the_label_s_place(client):
    """At the scale that its card advises; 0 is without it, and none is 1."""
    answer = ask(client, FOLLOWING)
    assert (answer["guidance"], answer["guidance_scale"]) == ("classifier-free", 1.5)
    assert pixels(answer) == pixels(ask(client, FOLLOWING | {"guidance_scale": 1.5}))
    plainly = ask(client, FOLLOWING | {"guidance": "none"})
    assert (plainly["guidance"], plainly["guidance_scale"]) == ("none", None)
    assert pixels(plainly) == pixels(ask(client, FOLLOWING | {"guidance_scale": 1})) != pixels(answer)
    without = {"dataset": "mnist", "seed": 3, "model": "mnist-cfg"}
    unheard = {"guidance_scale": 0, "sampler": "dpmpp-2m", "steps": 4}
    assert pixels(ask(client, FOLLOWING | unheard)) == pixels(ask(client, without))


def test_a_hint_alone_is_sampled_as_its_card_advises_and_with_a_label_as_the_model_s(client):
    def sampled(more):
        answer = ask(client, FOLLOWING | more)
        return answer["sampler"], answer["steps"]

    assert sampled({}) == sampled({"guidance": "none"}) == ("ddim", 3)
    assert sampled({"label": 7}) == ("dpmpp-2m", 4)
    assert sampled({"sampler": "ddpm", "steps": 2}) == ("ddpm", 2)


@pytest.mark.parametrize(
    ("more", "field", "says"),
    [
        ({"guidance": "classifier"}, "guidance", "needs a label"),
        ({"guidance": "clip"}, "guidance", "has no clip"),
        ({"guidance": "none", "guidance_scale": 2}, "guidance_scale", "does not go with"),
        ({"guidance": "classifier-free", "control": None}, "guidance", "a label, a prompt or a hint"),
        ({"guidance_scale": 2, "control": None}, "guidance_scale", "a label, a prompt or a hint"),
    ],
)
def test_guidance_of_what_is_not_there_is_refused(client, more, field, says):
    answer = client.post("/sample", json=FOLLOWING | more)
    assert answer.status_code == 422, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert says in answer.json()["detail"]


def test_it_goes_with_a_classifier_too(client):
    fields = FOLLOWING | {"label": 7, "guidance": "classifier", "guidance_scale": 2}
    answer = ask(client, fields)
    assert answer["model"] == "mnist-cfg" and answer["guidance"] == "classifier"
    assert pixels(answer) != pixels(ask(client, fields | {"guidance_scale": 0}))


def test_many_samples_follow_one_hint_each_as_alone(client):
    together = ask(client, FOLLOWING | {"n": 3, "label": [7, 1, 7]})
    for i, image in enumerate(together["images"]):
        alone = ask(client, FOLLOWING | {"label": image["label"], "seed": image["seed"]})
        assert pixels(alone)[0] == pixels(together)[i]


def test_jpeg_data_urls_and_streams_follow(client):
    jpeg = FOLLOWING | {"control": {"kind": "canny", "image": drawing("JPEG")}}
    url = FOLLOWING | {"control": {"kind": "canny", "image": "data:image/jpeg;base64," + drawing("JPEG")}}
    assert ask(client, jpeg) == ask(client, url)
    events = client.post("/sample", json=jpeg, headers={"Accept": "text/event-stream"}).text
    assert ask(client, jpeg)["images"][0]["b64_png"] in events


def test_a_png_tells_of_its_hint(client):
    png = client.post("/sample", json=FOLLOWING).content
    assert '"kind": "sketch"' in Image.open(io.BytesIO(png)).text["Parameters"]


def animation() -> str:
    buffer = io.BytesIO()
    frames = [Image.new("L", (30, 30), grey) for grey in (0, 255)]
    frames[0].save(buffer, "PNG", save_all=True, append_images=frames[1:])
    return base64.b64encode(buffer.getvalue()).decode()


def bomb() -> str:
    """A few bytes that say they are 3.6 gigapixels."""
    content = bytearray(base64.b64decode(encoded(Image.new("L", (30, 30)))))
    content[16:24] = struct.pack(">II", 60_000, 60_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return base64.b64encode(content).decode()


def with_control(**fields) -> dict:
    return FOLLOWING | {"control": FOLLOWING["control"] | fields}


@pytest.mark.parametrize(
    ("fields", "field", "says"),
    [
        (with_control(image="!!!"), "control.image", "not base64"),
        (with_control(image=base64.b64encode(b"hello").decode()), "control.image", "not a picture"),
        (with_control(image=drawing()[:200]), "control.image", "broken"),
        (with_control(image=drawing("GIF")), "control.image", "PNG or a JPEG"),
        (with_control(image=encoded(Image.new("L", (1, 1)))), "control.image", "1×1 pixels are too few"),
        (with_control(image=encoded(Image.new("L", (99, 99), 255))), "control.image", "empty"),
        (with_control(image=encoded(ImageOps.expand(Image.new("L", (97, 97), 255), 1))), "control.image", "full"),
        (with_control(image=animation()), "control.image", "animation"),
        (with_control(image=bomb()), "control.image", "too many pixels: at most 1024×1024"),
        (with_control(image=encoded(Image.new("L", (2000, 9)))), "control.image", "at most 1024×1024"),
        (with_control(preprocess=False), "control.image", "8×8 pixels, not 120×120"),
        (with_control(image=""), "control.image", "at least 1 character"),
        (with_control(image="A" * 1_500_000), "control.image", "at most"),
        (with_control(image=3), "control.image", "string"),
        (with_control(kind="depth"), "control.kind", "'canny' or 'sketch'"),
        (with_control(scale=2.1), "control.scale", "0 … 2"),
        (with_control(strength=1), "control.strength", "unknown field"),
        (FOLLOWING | {"control": "sketch"}, "control", "Input should be an object"),
        (FOLLOWING | {"control": {"kind": "canny"}}, "control.image", "needed"),
        (FOLLOWING | {"model": "mnist-ddpm"}, "control.kind", "mnist-cfg does"),
        (FOLLOWING | {"dataset": "spiral"}, "control.kind", "no model of it follows hints"),
    ],
)
def test_what_cannot_be_followed_says_why(client, fields, field, says):
    answer = client.post("/sample", json=fields)
    assert answer.status_code == 422, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert says in answer.json()["detail"]


def test_a_link_has_no_control(client):
    answer = client.get("/sample", params={"dataset": "mnist", "control": "x"})
    assert answer.status_code == 422 and "unknown field" in answer.text


def test_models_tell_what_is_followed_and_a_control_without_its_base_is_left_out(client):
    datasets = client.get("/models").json()["datasets"]
    assert datasets["mnist"]["controls"] == ["canny", "sketch"] and datasets["spiral"]["controls"] == []
    follows = {model["name"]: model["controlnets"] for model in datasets["mnist"]["models"]}
    assert [one["name"] for one in follows["mnist-cfg"]] == ["mnist-control-canny", "mnist-control-sketch"]
    assert follows["mnist-cfg"][0]["scale"] == 0.5 and follows["mnist-ddpm"] == []
