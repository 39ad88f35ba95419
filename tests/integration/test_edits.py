"""Beginning from a picture, over HTTP."""

import asyncio
import base64
import io

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from model.checkpoints.base import save_checkpoint
from model.checkpoints.config import SamplingConfig
from model.data import DataConfig
from model.hints import filling
from service.app import create_app
from service.http import preparation
from service.media.uploads import MAX_SIDE
from service.requests.model_choice import Choice
from service.requests.resolve import Resolved
from service.settings import Settings
from tests.asking import ask
from tests.integration.conftest import wait_until_ready
from tests.tiny import IMAGES, POINTS, save_tiny, tiny_checkpoint, tiny_classifier, tiny_control, tiny_student

COLOUR = DataConfig(
    dataset="cells", kind="images", shape=(3, 8, 8), labels=("a", "b"), mean=(120.0, 110.0, 99.5),
    std=(60.0, 61.0, 70.5), clip=2.2,
)  # fmt: skip
WINE = DataConfig(
    dataset="wine", kind="points", shape=(3,), names=("alcohol", "ash", "hue"), mean=(13.0, 2.4, 0.96),
    std=(0.81, 0.27, 0.23),
)  # fmt: skip
GREY = np.add.outer(np.arange(8), np.arange(8)).astype(np.uint8) * 17
MASK = np.where(np.arange(8) < 4, 255, 0).astype(np.uint8) * np.ones((8, 1), np.uint8)  # the left half is redrawn


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    base = tiny_checkpoint(IMAGES, name="mnist-cfg")
    save_tiny(folder, IMAGES, name="mnist-cfg")
    save_tiny(
        folder, IMAGES.model_copy(update={"labels": ()}), name="mnist-ddpm", sampler="ddpm", learned_variance=True
    )
    for data in (POINTS, COLOUR, WINE):
        save_tiny(folder, data)
    for one in (tiny_control(base), tiny_classifier(IMAGES), tiny_student(IMAGES)):
        save_checkpoint(folder / one.config.name, one.config, one.network)
    with TestClient(create_app(Settings(checkpoints=folder, device="cpu"))) as client:
        wait_until_ready(client)
        yield client


def encoded(pixels: np.ndarray | Image.Image, format: str = "PNG", **options) -> str:
    buffer = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(buffer, format, **options)
    return base64.b64encode(buffer.getvalue()).decode()


def seen(b64: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(b64))))


def pixels(answer: dict) -> np.ndarray:
    return np.stack([seen(one["b64_png"]) for one in answer["images"]])


def refused(client, fields: dict, field: str, says: str) -> None:
    answer = client.post("/sample", json=fields)
    assert answer.status_code == 422, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == [field], answer.text
    assert says in answer.json()["detail"]


FROM = {"dataset": "mnist", "model": "mnist-cfg", "label": 3, "seed": 5, "init": {"image": encoded(GREY)}}
INVERTED = {"image": encoded(GREY), "method": "inversion"}
COLOURED = np.random.default_rng(3).integers(0, 256, (8, 8, 3), np.uint8)


def begun(**init) -> dict:
    return FROM | {"init": FROM["init"] | init}


@pytest.mark.parametrize("picture", [GREY, COLOURED], ids=["grey", "colour"])
def test_strength_0_gives_the_picture_back_and_1_is_the_request_without_it(client, picture):
    plain = {"dataset": "mnist" if picture.ndim == 2 else "cells", "label": 1, "seed": 5, "n": 2}
    for label in ({}, {"label": 1}):
        given = {k: v for k, v in plain.items() if k != "label"} | label
        back = pixels(ask(client, given | {"init": {"image": encoded(picture), "strength": 0}}))
        np.testing.assert_array_equal(back, np.stack([picture] * 2))
    whole = pixels(ask(client, plain | {"init": {"image": encoded(picture), "strength": 1}}))
    np.testing.assert_array_equal(whole, pixels(ask(client, plain)))


def test_the_answer_is_a_request_for_the_same_samples_and_each_can_be_had_alone(client):
    answer = ask(client, begun(strength=0.4) | {"n": 3})
    assert answer["init"] == {"image": answer["init"]["image"], "strength": 0.4, "method": "noise"}
    np.testing.assert_array_equal(seen(answer["init"]["image"]), GREY)
    again = {k: answer[k] for k in ("dataset", "model", "sampler", "steps", "guidance", "guidance_scale", "init")}
    for one, image in zip(answer["images"], pixels(answer), strict=True):
        np.testing.assert_array_equal(pixels(ask(client, again | {"label": 3, "seed": one["seed"]}))[0], image)
    assert not (pixels(answer)[0] == pixels(answer)[1]).all()


def test_without_it_nothing_of_it_is_in_the_answer(client):
    answer = ask(client, {"dataset": "mnist", "label": 3})
    edits = {"init", "mask", "given", "resample", "seed_to", "mix", "variations_of", "resized"}
    assert not edits & answer.keys()
    assert answer["images"][0].keys() == {"label", "seed", "b64_png"}


@pytest.mark.parametrize("more", [{}, {"guidance": "none"}, {"guidance": "classifier", "model": "mnist-ddpm"},
                                  {"control": {"kind": "canny", "image": "", "preprocess": False}}])  # fmt: skip
@pytest.mark.parametrize("sampler", ["ddpm", "dpmpp-2m", "heun"])
def test_what_is_kept_comes_back_to_the_byte_under_every_guidance(client, sampler, more):
    if "control" in more:
        more = {"control": more["control"] | {"image": encoded(MASK)}}
    fields = FROM | {"mask": {"image": encoded(MASK)}, "n": 2, "sampler": sampler, "guidance_scale": 5, **more}
    if more.get("guidance") == "none":
        del fields["guidance_scale"]
    drawn = pixels(ask(client, fields))
    np.testing.assert_array_equal(drawn[:, :, 4:], np.stack([GREY[:, 4:]] * 2))
    assert (drawn[:, :, :4] != GREY[:, :4]).any()


def test_a_mask_is_answered_as_it_was_understood(client):
    soft = np.where(MASK > 0, 200, 90).astype(np.uint8)
    answer = ask(client, FROM | {"mask": {"image": encoded(soft)}})
    np.testing.assert_array_equal(seen(answer["mask"]["image"]), MASK)
    assert answer["init"]["strength"] == 1 and answer["resample"] == 5
    coloured = {"dataset": "cells", "seed": 5, "init": {"image": encoded(COLOURED)}, "mask": {"image": encoded(MASK)}}
    np.testing.assert_array_equal(pixels(ask(client, coloured))[0][:, 4:], COLOURED[:, 4:])


def test_pictures_of_other_sizes_are_scaled_and_the_answer_says_so(client):
    large = GREY.repeat(6, 0).repeat(8, 1)
    fields = FROM | {"init": {"image": encoded(large), "strength": 0}, "mask": {"image": encoded(MASK.repeat(2, 0))}}
    answer = client.post("/sample", json=fields, headers={"Accept": "application/json"})
    assert answer.json()["resized"] == {"init.image": [64, 48], "mask.image": [8, 16]}
    assert answer.headers["X-Resized"] == "init.image=64x48, mask.image=8x16"
    assert seen(answer.json()["init"]["image"]).shape == (8, 8)


@pytest.mark.parametrize("factors", [(5, 7), (7, 5)])
def test_a_coloured_picture_of_another_size_is_scaled_channel_by_channel(client, factors):
    large = COLOURED.repeat(factors[0], 0).repeat(factors[1], 1)
    fields = {"dataset": "cells", "seed": 5, "init": {"image": encoded(large), "strength": 0}}
    answer = ask(client, fields)
    assert answer["resized"] == {"init.image": [large.shape[1], large.shape[0]]}
    of_channels = [filling(large[..., channel].astype(np.float32), (8, 8)) for channel in range(3)]
    np.testing.assert_array_equal(seen(answer["init"]["image"]), np.rint(np.stack(of_channels, axis=-1)))


def test_what_takes_a_while_is_done_off_the_event_loop_while_its_model_is_held(client, monkeypatch):
    looked = []

    def look(what):
        with pytest.raises(RuntimeError, match="no running event loop"):
            asyncio.get_running_loop()
        looked.append((what, sum(one.users for one in client.app.state.spirale.memory._loaded.values())))

    resolve, made_ready = preparation.resolve, Resolved.made_ready
    monkeypatch.setattr(preparation, "resolve", lambda *of: (look("plan"), resolve(*of))[1])
    monkeypatch.setattr(Resolved, "made_ready", lambda self: (look("noise"), made_ready(self))[1])
    ask(client, {"dataset": "wine", "given": {"hue": 0.5}, "resample": 3})
    assert looked == [("plan", 0), ("noise", 1)]


@pytest.mark.parametrize(
    "picture",
    [
        Image.fromarray(GREY).convert("RGBA"),
        Image.fromarray(GREY).convert("P"),
        Image.fromarray(GREY.astype(np.uint16) * 257),
        Image.fromarray(GREY).convert("RGB"),
    ],
    ids=["alpha", "palette", "16 bit", "colour"],
)
def test_pictures_of_any_mode_are_what_they_look_like(client, picture):
    back = pixels(ask(client, begun(image=encoded(picture), strength=0)))[0]
    np.testing.assert_array_equal(back, GREY)


def test_a_colour_model_takes_pictures_of_any_mode(client):
    def back(picture, **options) -> np.ndarray:
        init = {"image": encoded(picture, **options), "strength": 0}
        return pixels(ask(client, {"dataset": "cells", "init": init}))[0]

    opaque = Image.fromarray(COLOURED).convert("RGBA")
    np.testing.assert_array_equal(back(opaque), COLOURED)
    holed = opaque.copy()
    holed.paste((0, 0, 0, 0), (0, 0, 8, 4))
    np.testing.assert_array_equal(back(holed)[4:], COLOURED[4:])
    assert set(back(holed)[:4].ravel()) <= {0, 255}
    np.testing.assert_array_equal(back(Image.fromarray(GREY.astype(np.uint16) * 257)), np.stack([GREY] * 3, -1))
    cmyk = Image.fromarray(COLOURED).convert("CMYK")
    assert back(cmyk, format="JPEG", quality=100, subsampling=0).shape == (8, 8, 3)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned
    turned = back(Image.fromarray(COLOURED), exif=exif)
    np.testing.assert_array_equal(turned, np.rot90(COLOURED, -1))


@pytest.mark.parametrize(
    ("more", "field", "says"),
    [
        ({"init": {"image": "-"}}, "init.image", "not base64"),
        ({"init": {"image": encoded(np.zeros((1, MAX_SIDE + 1), np.uint8))}}, "init.image", "too many"),
        ({"init": {"image": encoded(GREY), "strength": 1.2}}, "init.strength", "0 … 1"),
        ({"init": {"image": encoded(GREY), "strength": -0.1}}, "init.strength", "0 … 1"),
        ({"init": {"image": encoded(GREY), "scale": 1}}, "init.scale", "unknown field"),
        ({"mask": {"image": encoded(GREY * 0)}}, "mask.image", "one colour"),
        ({"mask": {"image": encoded(GREY * 0 + 255)}}, "mask.image", "one colour"),
        ({"mask": {"image": encoded(MASK)}, "init": None}, "mask", "init.image"),
        ({"resample": 3}, "resample", "mask"),
        ({"mask": {"image": encoded(MASK)}, "resample": 21}, "resample", "1 … 20"),
        ({"mask": {"image": encoded(MASK)}, "resample": 3, "model": "mnist-ddpm", "label": None, "sampler": "ddpm",
          "variance": "learned"}, "resample", "learned"),
        ({"given": {"alcohol": 13}}, "given", "points only"),
        ({"model": "mnist-fast"}, "init", "few-step"),
        ({"init": {"image": encoded(GREY), "label": 3}}, "init.label", "inversion only"),
        ({"init": INVERTED, "sampler": "ddpm"}, "init.method", "ddim with eta 0"),
        ({"init": INVERTED | {"label": "x"}}, "init.label", "one of"),
        ({"init": INVERTED, "seed_to": 3}, "seed_to", "inversion"),
    ],
)  # fmt: skip
def test_what_cannot_be_begun_from_is_refused(client, more, field, says):
    refused(client, FROM | more, field, says)


@pytest.mark.parametrize(
    ("more", "field", "says"),
    [
        ({"init": {"image": encoded(GREY)}}, "init", "given"),
        ({"given": {"alcohol": 13, "price": 2}}, "given", "alcohol, ash, hue"),
        ({"given": {"alcohol": 13, "0": 12}}, "given", "each once"),
        ({"given": {"alcohol": 13, "ash": 2, "hue": 1}}, "given", "nothing to draw"),
        ({"given": {"alcohol": 1e300}}, "given", "alcohol is -68 … 94"),
        ({"given": {}}, "given", "name a dimension"),
        ({"given": {"alcohol": "13"}}, "given.alcohol", "number"),
    ],
)
def test_what_points_cannot_be_given_is_refused(client, more, field, says):
    refused(client, {"dataset": "wine", **more}, field, says)


def test_samples_walk_from_one_seed_to_another_and_each_can_be_had_alone(client):
    """The ends are the seeds' own samples, where the sampler draws no noise on the way."""
    plain = {"dataset": "mnist", "label": 3, "seed": 5}
    answer = ask(client, plain | {"seed_to": 9, "n": 4})
    walk = pixels(answer)
    np.testing.assert_array_equal(walk[0], pixels(ask(client, plain))[0])
    np.testing.assert_array_equal(walk[3], pixels(ask(client, plain | {"seed": 9}))[0])
    assert [one["mix"] for one in answer["images"]] == answer["mix"] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert {one["seed"] for one in answer["images"]} == {5} and answer["seed_to"] == 9
    alone = ask(client, plain | {"seed_to": "9", "mix": answer["mix"][1]})
    np.testing.assert_array_equal(pixels(alone)[0], walk[1])
    linked = client.get(
        "/sample?dataset=mnist&label=3&seed=5&seed_to=9&mix=0.25,1", headers={"Accept": "application/json"}
    )
    np.testing.assert_array_equal(pixels(linked.json())[1], walk[3])


@pytest.mark.parametrize("sampler", ["dpmpp-2m", "ddpm"])
def test_variations_turn_from_a_sample_to_others(client, sampler):
    plain = {"dataset": "mnist", "label": 3, "sampler": sampler}
    whole = pixels(ask(client, plain | {"seed": 7}))[0]

    def varied(amount: float, seed: int = 20, n: int = 2) -> dict:
        return ask(client, plain | {"seed": seed, "n": n, "variations_of": {"seed": 7, "amount": amount}})

    np.testing.assert_array_equal(pixels(varied(0)), np.stack([whole] * 2))
    answer = varied(0.3)
    assert answer["variations_of"] == {"seed": 7, "amount": 0.3}
    assert [one["seed"] for one in answer["images"]] == [20, 21]
    np.testing.assert_array_equal(pixels(varied(0.3, 21, 1))[0], pixels(answer)[1])
    away = [np.abs(pixels(varied(amount)).astype(float) - whole).mean() for amount in (0.02, 0.3, 1)]
    assert away == sorted(away) and away[0] < away[2] / 4


@pytest.mark.parametrize(
    ("more", "field", "says"),
    [
        ({"mix": 0.5}, "mix", "seed_to"),
        ({"seed_to": 3, "mix": []}, "mix", "empty"),
        ({"seed_to": 3, "mix": [0.5, 1.5]}, "mix", ""),
        ({"seed_to": 3, "mix": [0.5, 0.6], "n": 3}, "mix", "3 samples but 2"),
        ({"seed_to": 3, "variations_of": {"seed": 1, "amount": 0.5}}, "variations_of", "seed_to"),
        ({"variations_of": {"seed": 1, "amount": 2}}, "variations_of.amount", "0 … 1"),
        ({"variations_of": {"seed": -1, "amount": 0.5}}, "variations_of.seed", ""),
        ({"seed_to": -1}, "seed_to", ""),
        ({"seed_to": True}, "seed_to", ""),
    ],
)
def test_what_lies_between_no_seeds_is_refused(client, more, field, says):
    refused(client, {"dataset": "mnist", "label": 3, **more}, field, says)


@pytest.mark.parametrize("sampler", ["ddim", "dpmpp-2m", "heun"])
def test_a_picture_is_inverted_and_what_is_masked_is_kept(client, sampler):
    fields = begun(method="inversion", label=3) | {"sampler": sampler, "steps": 20, "guidance": "none"}
    back, other = (pixels(ask(client, fields | {"label": label}))[0] for label in (3, 8))
    assert (back != other).any()
    kept = pixels(ask(client, fields | {"label": 8, "mask": {"image": encoded(MASK)}}))[0]
    np.testing.assert_array_equal(kept[:, 4:], GREY[:, 4:])


def test_a_picture_is_inverted_where_no_sampler_is_named(client, monkeypatch):
    """Not by one that draws noise, whatever the card advises; and its label finds a model that reads labels."""
    noisy = SamplingConfig(sampler="ddpm", steps=5)
    monkeypatch.setattr(Choice, "advised", property(lambda _: noisy))
    unlabelled = ask(client, {"dataset": "mnist", "n": 1, "init": INVERTED})
    assert unlabelled["sampler"] == "dpmpp-2m"
    labelled = ask(client, {"dataset": "mnist", "n": 1, "init": INVERTED | {"label": 3}})
    assert (labelled["model"], labelled["sampler"]) == ("mnist-cfg", "dpmpp-2m")


@pytest.mark.parametrize("sampler", ["ddpm", "dpmpp-2m", "heun"])
def test_given_dimensions_come_back_as_they_were_given(client, sampler):
    fields = {"dataset": "wine", "n": 4, "seed": 2, "sampler": sampler, "given": {"alcohol": 13.2, "hue": 0.011}}
    answer = ask(client, fields)
    rows = np.array(answer["points"])
    assert (rows[:, 0] == 13.2).all() and (rows[:, 2] == 0.011).all() and len(set(rows[:, 1])) == 4
    assert answer["given"] == fields["given"] and answer["resample"] == 10
    streamed = client.post("/sample", json=fields, headers={"Accept": "text/event-stream"}).text
    assert streamed.count("event: progress") == 10 and "13.2" in streamed


def test_a_whole_number_may_be_written_with_a_point_there_too(client):
    fields = {"dataset": "mnist", "seed": 1, "n": 1, "steps": 2}
    answers = [ask(client, fields | {"init": INVERTED | {"label": label}}) for label in (3, 3.0)]
    np.testing.assert_array_equal(pixels(answers[0]), pixels(answers[1]))
    refused(client, fields | {"init": INVERTED | {"label": 3.5}}, "init.label", "valid integer")
