"""A model that has learned what goes with a known part: what a mask keeps becomes a hint of it."""

import io
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model.checkpoints.base import save_checkpoint
from model.conditions import Conditions, Known
from model.noise import sample_seeds
from model.plan import make_plan
from model.sampling_loop import sample
from tests.asking import ask
from tests.integration.test_edits import COLOUR, COLOURED, GREY, MASK, encoded, pixels
from tests.integration.test_jobs import client_of, content, finished
from tests.tiny import IMAGES, save_tiny, tiny_autoguidance, tiny_checkpoint, tiny_classifier, tiny_control

GREY_BASE, COLOUR_BASE = tiny_checkpoint(IMAGES, name="mnist-cfg"), tiny_checkpoint(COLOUR)
PLAIN = tiny_checkpoint(IMAGES.model_copy(update={"labels": ()}), "mnist-ddpm")
CONTROLS = {base.name: tiny_control(base, "inpainting", f"{base.name}-known") for base in (GREY_BASE, COLOUR_BASE)}
PICTURES = {"mnist": GREY, "cells": COLOURED}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two models that know what a mask keeps, and an unconditional one, with a weak network, that does not."""
    place = tmp_path_factory.mktemp("checkpoints")
    for one in (GREY_BASE, COLOUR_BASE, PLAIN, tiny_autoguidance(PLAIN), tiny_control(GREY_BASE), *CONTROLS.values()):
        save_checkpoint(place / one.config.name, one.config, one.network)
    return place


@pytest.fixture
def client(make_client, folder):
    return make_client(checkpoints=folder, precision="float32")


def masked(dataset: str = "mnist", **fields) -> dict:
    edit = {"init": {"image": encoded(PICTURES[dataset])}, "mask": {"image": encoded(MASK)}}
    return {"dataset": dataset, "seed": 5, "n": 3} | edit | fields


def by_hand(base, picture: np.ndarray, label: int, scale: float) -> np.ndarray:
    """The same by the plain loop: the hint is 0 where nothing is known, and 0.5 … 1 of the grey where it is."""
    control, data = CONTROLS[base.name], base.config.data
    known = torch.from_numpy(picture.copy()).float().reshape(*data.shape[1:], -1).permute(2, 0, 1)
    grey = known[0] if len(known) == 1 else 0.299 * known[0] + 0.587 * known[1] + 0.114 * known[2]
    kept = torch.from_numpy(MASK == 0)
    hint = torch.where(kept, 0.5 + grey / 510, 0.0)[None]
    plain = Conditions.alike(3, label=label, guidance_scale=scale)  # the hint counts in full, whatever the card advises
    x0 = data.standardise(known[None]).expand(3, -1, -1, -1)
    conditions = replace(plain.with_hints(hint, "inpainting", 1.0), known=Known(x0, kept.float().expand_as(x0)))
    denoiser = base.denoiser(controls={"inpainting": control.control()})
    plan = make_plan(base.schedule, "ddim", 3)
    x = sample(denoiser, plan, conditions, torch.from_numpy(sample_seeds(5, 3)), data.shape)
    return data.restore(x).clamp(0, 255).permute(0, 2, 3, 1).squeeze(-1).numpy()


@pytest.mark.parametrize("base", [GREY_BASE, COLOUR_BASE], ids=["grey", "colour"])
@pytest.mark.parametrize("label", [None, 1])
def test_what_is_kept_is_a_hint_that_the_samples_follow(client, base, label):
    dataset = base.config.data.dataset
    fields = masked(dataset, sampler="ddim", steps=3, guidance_scale=2.5)
    if label is not None:
        fields["label"] = base.config.data.labels[label]
    answer = ask(client, fields)
    assert (answer["model"], answer["resample"]) == (base.name, 1)
    assert "control" not in answer
    drawn = pixels(answer)
    np.testing.assert_array_equal(drawn[:, :, 4:], np.stack([PICTURES[dataset][:, 4:]] * 3))
    expected = by_hand(base, PICTURES[dataset], -1 if label is None else label, 2.5)
    assert np.abs(drawn.astype(float) - expected)[:, :, :4].max() <= 0.51


def test_without_a_label_it_is_sampled_as_the_controlnet_advises_and_the_answer_gives_the_same_again(client):
    answer = ask(client, masked())
    assert (answer["sampler"], answer["steps"]) == ("ddim", 3)
    assert (answer["guidance"], answer["guidance_scale"]) == ("classifier-free", 1.5)
    names = ("model", "sampler", "steps", "guidance", "guidance_scale", "init", "mask", "resample", "seed")
    again = {name: answer[name] for name in names}
    np.testing.assert_array_equal(pixels(ask(client, {"dataset": "mnist", "n": 3} | again)), pixels(answer))


@pytest.mark.parametrize(
    ("fields", "model"),
    [
        ({"mask": None}, "mnist-ddpm"),  # a picture alone: nothing is kept
        ({"guidance": "auto"}, "mnist-ddpm"),
        ({"model": "mnist-ddpm"}, "mnist-ddpm"),
        ({"guidance": "none"}, "mnist-cfg"),
    ],
)
def test_the_model_that_knows_it_is_taken_unless_the_request_says_more(client, fields, model):
    request = {name: value for name, value in masked(**fields).items() if value is not None}
    assert ask(client, request)["model"] == model


def test_it_goes_with_jumps_and_gives_way_to_a_hint_that_is_asked_for(client):
    assert ask(client, masked(resample=4))["resample"] == 4
    drawing = {"kind": "canny", "image": encoded(MASK), "preprocess": False}
    answer = ask(client, masked(control=drawing))
    assert answer["control"]["kind"] == "canny" and answer["resample"] == 5


def test_a_picture_that_is_inverted_is_not_led_by_what_is_kept(client):
    """Its way back is without guidance, as its way up was."""
    inverted = {"image": encoded(GREY), "method": "inversion"}
    answer = ask(client, masked(init=inverted, model="mnist-cfg", sampler="ddim"))
    assert answer["guidance"] == "none"


@pytest.mark.parametrize("strength", [0, 0.5])
def test_what_is_kept_comes_back_at_every_strength(client, strength):
    drawn = pixels(ask(client, masked(init={"image": encoded(GREY), "strength": strength})))
    np.testing.assert_array_equal(drawn[:, :, 4:], np.stack([GREY[:, 4:]] * 3))
    assert (drawn[:, :, :4] == GREY[:, :4]).all() == (strength == 0)


def test_the_rows_of_a_job_follow_what_is_kept_too(folder, tmp_path):
    with client_of(folder, tmp_path) as client:
        job = finished(client, **masked(n=5), rows_per_file=2, format="npy")
        assert job["state"] == "done", job["error"]
        files = content(client, job)
        rows = np.concatenate([np.load(io.BytesIO(files[f"part-{part:05d}.npy"])) for part in range(3)])
        sampled = client.post("/sample", json=masked(n=5), headers={"Accept": "application/x-npy"})
        assert sampled.headers["x-model"] == "mnist-cfg"
        assert rows.tolist() == np.load(io.BytesIO(sampled.content)).tolist()


def test_the_ways_say_how_a_mask_is_answered(make_client, folder, tmp_path):
    """The other model of the set knows nothing of what is kept, and a classifier or a weak network may lead it."""
    checkpoints = Path(shutil.copytree(folder, tmp_path / "checkpoints"))
    classifier = tiny_classifier()
    save_checkpoint(checkpoints / classifier.config.name, classifier.config, classifier.network)
    client = make_client(checkpoints=checkpoints, precision="float32")
    dataset = client.get("/models").json()["datasets"]["mnist"]
    ways = [way for way in dataset["ways"] if way["hint"] == "inpainting"]
    assert {(way["asks"], way["guidance"]) for way in ways} == {
        ("nothing", "classifier-free"), ("nothing", "none"),
        ("label", "classifier-free"), ("label", "none"), ("label", "classifier"),
    }  # fmt: skip
    for way in ways:
        asked = masked(n=1, guidance=way["guidance"], **({"label": 1} if way["asks"] == "label" else {}))
        given = ask(client, asked)
        assert given == ask(client, asked | {"model": "mnist-cfg"})
        promised = {name: way["defaults"][name] for name in ("sampler", "steps", "guidance_scale", "resample")}
        assert {name: given[name] for name in promised} == promised and promised["resample"] == 1
        assert (way["model"], way["edits"], way["defaults"]["control_scale"]) == ("mnist-cfg", ["mask"], None)
    for asks, more in (("nothing", {}), ("label", {"label": 1})):
        first = next(way for way in ways if way["asks"] == asks)
        assert ask(client, masked(n=1, **more))["guidance"] == first["guidance"] == "classifier-free"
    assert {way["defaults"]["resample"] for way in dataset["ways"] if way["guidance"] == "auto"} == {5}


def test_it_is_no_kind_of_picture_that_a_request_may_send(client):
    dataset = client.get("/models").json()["datasets"]["mnist"]
    assert dataset["controls"] == ["canny"]
    (model,) = [one for one in dataset["models"] if one["name"] == "mnist-cfg"]
    assert {one["kind"] for one in model["controlnets"]} == {"canny", "inpainting"}
    asked = {"dataset": "mnist", "control": {"kind": "inpainting", "image": encoded(MASK)}}
    refused = client.post("/sample", json=asked)
    assert refused.status_code == 422 and "'canny' or 'sketch'" in refused.json()["detail"]


def test_another_set_without_one_is_redrawn_with_jumps(make_client, tmp_path):
    save_tiny(tmp_path, IMAGES, name="mnist-cfg")
    assert ask(make_client(checkpoints=tmp_path), masked())["resample"] == 5
