"""The shipped checkpoints, through the real process: what is asked for is drawn, by a label's gradient, in words and by
hand."""

import base64
import io

import httpx
import numpy as np
import openai
import pytest
import torch
from PIL import Image

from tests.e2e.conftest import PROJECT, services
from training.data.drawings import drawings
from training.metrics.judge import load_judge

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@pytest.fixture(scope="module")
def service():
    with services() as start:
        service = start()
        service.wait_until_ready()
        yield service


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def read(pictures: list[np.ndarray]) -> list[int]:
    """The digits that the judge sees."""
    images = torch.from_numpy(np.stack(pictures)).unsqueeze(1)
    return load_judge(PROJECT / "checkpoints" / "mnist-judge").look(images)[1].tolist()


def ask(service, fields: dict) -> np.ndarray:
    answer = httpx.post(
        f"{service.url}/sample", json=fields, headers={"Accept": "application/x-npy"}, timeout=60
    ).raise_for_status()
    return np.load(io.BytesIO(answer.content))


def test_openais_client_gets_what_it_says_and_thin_is_thinner_than_bold(service):
    client = openai.OpenAI(base_url=f"{service.url}/v1", api_key="none")

    def drawn(model: str, prompt: str, n: int = 1) -> list[np.ndarray]:
        answer = client.images.generate(
            model=model, prompt=prompt, n=n, response_format="b64_json", extra_body={"seed": 0}
        )
        return [pixels(base64.b64decode(image.b64_json)) for image in answer.data]

    names = [model.id for model in client.models.list()]
    assert names == ["mnist-ddpm", "mnist-text-cfg"]
    assert read([image for name in NAMES for image in drawn(names[1], f"the digit {name}")]) == list(range(10))
    for model in names:
        thin, bold = (np.mean(drawn(model, f"a {how} three standing upright", 10)) for how in ("thin", "bold"))
        assert thin < 0.7 * bold


def test_the_seeds_own_guidance_by_clip_draws_what_is_said(service):
    fields = {"dataset": "mnist", "seed": 0, "n": 4}
    asked = [fields | {"prompt": f"the digit {name}"} for name in NAMES]
    drawn = [image for one in asked for image in ask(service, one)]
    right = np.array(read(drawn)) == np.repeat(np.arange(10), 4)
    assert right.mean() >= 0.95
    assert np.array_equal(ask(service, asked[7]), ask(service, asked[7] | {"guidance": "clip"}))  # it is the default


@pytest.mark.parametrize("model", ["mnist-ddpm", "mnist-cfg"])
def test_a_classifiers_gradient_draws_the_label(service, model):
    fields = {"dataset": "mnist", "model": model, "label": list(range(10)), "guidance": "classifier", "seed": 0}
    right = np.array(read(list(ask(service, fields)))) == np.arange(10)
    assert right.mean() >= 0.8


def test_a_classifiers_gradient_gives_the_component_that_was_asked_for(service):
    """It stands at (−4, −4), and its deviation is 1."""
    fields = {"dataset": "gaussian", "label": 1, "guidance": "classifier", "steps": 50, "n": 2000, "seed": 0}
    points = ask(service, fields)
    assert (points.sum(1) < 0).mean() >= 0.999
    np.testing.assert_allclose(points.mean(0), [-4, -4], atol=0.15)
    np.testing.assert_allclose(points.std(0), [1, 1], atol=0.1)


@pytest.mark.parametrize("kind", ["sketch", "canny"])
def test_drawings_by_hand_are_followed(service, kind):
    """One of each digit, given with its label and with none."""
    drawn = {one.digit: one.picture for one in drawings()}
    made = {"labelled": [], "alone": []}
    for digit, picture in sorted(drawn.items()):
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "PNG")
        control = {"kind": kind, "image": base64.b64encode(buffer.getvalue()).decode()}
        fields = {"dataset": "mnist", "control": control, "seed": digit}
        made["labelled"] += list(ask(service, fields | {"label": digit}))
        made["alone"] += list(ask(service, fields))
    assert read(made["labelled"]) == list(range(10))
    assert np.mean(np.array(read(made["alone"])) == np.arange(10)) >= 0.9
