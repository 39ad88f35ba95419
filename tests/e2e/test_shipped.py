"""The shipped checkpoints, through the real process: what is asked for is drawn, by a label's gradient, in words and by
hand. What can be asked for together is: then it shares the engine's batches, and the bytes are the same."""

import base64
import io
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import openai
import pytest
import torch
from PIL import Image

from model.checkpoints.judge import load_judge
from tests.e2e.browser import SECONDS
from tests.e2e.conftest import PROJECT, Process
from training.data.drawings import drawings

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def read(pictures: list[np.ndarray]) -> list[int]:
    """The digits that the judge sees."""
    images = torch.from_numpy(np.stack(pictures)).unsqueeze(1)
    return load_judge(PROJECT / "checkpoints" / "mnist-judge").look(images)[1].tolist()


def draw(service: Process, *asked: dict) -> list[np.ndarray]:
    """The samples of these requests, one after the other, asked for together."""

    def ask(fields: dict) -> list[np.ndarray]:
        answer = service.post("/sample", json=fields, headers={"Accept": "application/x-npy"}).raise_for_status()
        return list(np.load(io.BytesIO(answer.content)))

    with ThreadPoolExecutor(len(asked)) as threads:
        return [sample for samples in threads.map(ask, asked) for sample in samples]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_gets_a_seven_that_the_judge_reads_as_seven(shipped, tmp_path):
    seven = tmp_path / "seven.png"
    body = '{"dataset":"mnist","label":7,"seed":1}'
    subprocess.run(["curl", "-sf", "-d", body, f"{shipped.url}/sample", "-o", seven], check=True)
    picture = pixels(seven.read_bytes())
    assert picture.shape == (28, 28) and read([picture]) == [7]


def test_points_come_as_json_and_those_of_a_component_stand_where_it_does(shipped):
    """The Gaussian's second: at (−4, −4), and its deviation is 1."""

    def points(**fields) -> np.ndarray:
        return np.array(shipped.post("/sample", json=fields | {"n": 500}).json()["points"])

    assert points(dataset="spiral").shape == (500, 2)
    of_component = points(dataset="gaussian", label=1)
    np.testing.assert_allclose(of_component.mean(0), [-4, -4], atol=0.3)
    np.testing.assert_allclose(of_component.std(0), [1, 1], atol=0.15)


def test_openais_client_gets_what_it_says_and_thin_is_thinner_than_bold(shipped):
    client = openai.OpenAI(base_url=f"{shipped.url}/v1", api_key="none", timeout=SECONDS, max_retries=0)

    def drawn(model: str, prompt: str, n: int = 1) -> list[np.ndarray]:
        answer = client.images.generate(
            model=model, prompt=prompt, n=n, response_format="b64_json", extra_body={"seed": 0}
        )
        return [pixels(base64.b64decode(image.b64_json)) for image in answer.data]

    names = [model.id for model in client.models.list()]
    assert names == ["mnist-ddpm", "mnist-text-cfg", "mnist-text-fast"]
    with ThreadPoolExecutor(len(NAMES)) as threads:
        digits = list(threads.map(lambda name: drawn(names[1], f"the digit {name}")[0], NAMES))
    assert read(digits) == list(range(10))
    for model in names:
        thin, bold = (np.mean(drawn(model, f"a {how} three standing upright", 5)) for how in ("thin", "bold"))
        assert thin < 0.7 * bold


def test_the_seeds_own_guidance_by_clip_draws_what_is_said(shipped):
    asked = [{"dataset": "mnist", "seed": 0, "n": 2, "prompt": f"the digit {name}"} for name in NAMES]
    *drawn, by_clip = np.split(np.stack(draw(shipped, *asked, asked[7] | {"guidance": "clip"})), len(NAMES) + 1)
    right = np.array(read([image for images in drawn for image in images])) == np.repeat(np.arange(10), 2)
    assert right.mean() >= 0.95
    assert np.array_equal(by_clip, drawn[7])  # it is the default


@pytest.mark.parametrize("model", ["mnist-ddpm", "mnist-cfg"])
def test_a_classifiers_gradient_draws_the_label(shipped, model):
    fields = {"dataset": "mnist", "model": model, "label": list(range(10)), "guidance": "classifier", "seed": 0}
    right = np.array(read(draw(shipped, fields))) == np.arange(10)
    assert right.mean() >= 0.8


def test_a_classifiers_gradient_gives_the_component_that_was_asked_for(shipped):
    """It stands at (−4, −4), and its deviation is 1."""
    fields = {"dataset": "gaussian", "label": 1, "guidance": "classifier", "steps": 50, "n": 2000, "seed": 0}
    points = np.stack(draw(shipped, fields))
    assert (points.sum(1) < 0).mean() >= 0.999
    np.testing.assert_allclose(points.mean(0), [-4, -4], atol=0.15)
    np.testing.assert_allclose(points.std(0), [1, 1], atol=0.1)


@pytest.mark.parametrize("kind", ["sketch", "canny"])
def test_drawings_by_hand_are_followed(shipped, kind):
    """One of each digit, given with its label and with none."""
    alone, labelled = [], []
    for digit, picture in sorted({one.digit: one.picture for one in drawings()}.items()):
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "PNG")
        control = {"kind": kind, "image": base64.b64encode(buffer.getvalue()).decode()}
        alone.append({"dataset": "mnist", "control": control, "seed": digit, "steps": 10})
        labelled.append(alone[-1] | {"label": digit})
    read_of = np.array(read(draw(shipped, *alone, *labelled)))
    assert (read_of[:10] == np.arange(10)).mean() >= 0.9
    assert read_of[10:].tolist() == list(range(10))
