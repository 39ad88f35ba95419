"""The shipped checkpoints, through the real process: what is asked for is drawn, in words and by hand."""

import base64
import io

import httpx
import numpy as np
import openai
import torch
from PIL import Image

from tests.e2e.conftest import PROJECT
from training.evaluate.judge import load_judge

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def read(pictures: list[np.ndarray]) -> list[int]:
    """The digits that the judge sees."""
    images = torch.from_numpy(np.stack(pictures)).unsqueeze(1)
    return load_judge(PROJECT / "checkpoints" / "mnist-judge").look(images)[1].tolist()


def test_openais_client_gets_what_it_says_and_thin_is_thinner_than_bold(start_service):
    service = start_service()
    service.wait_until_ready()
    client = openai.OpenAI(base_url=f"{service.url}/v1", api_key="none")

    def ask(prompt: str, n: int = 1) -> list[np.ndarray]:
        answer = client.images.generate(
            model="mnist-text-cfg", prompt=prompt, n=n, response_format="b64_json", extra_body={"seed": 0}
        )
        return [pixels(base64.b64decode(image.b64_json)) for image in answer.data]

    assert [model.id for model in client.models.list()] == ["mnist-text-cfg", "mnist-ddpm"]
    assert read([image for name in NAMES for image in ask(f"the digit {name}")]) == list(range(10))
    thin, bold = (np.mean(ask(f"a {how} three standing upright", 10)) for how in ("thin", "bold"))
    assert thin < 0.7 * bold


def test_the_seeds_own_guidance_by_clip_draws_what_is_said(start_service):
    service = start_service()
    service.wait_until_ready()
    fields = {"dataset": "mnist", "guidance": "clip", "seed": 0, "n": 4}
    drawn = []
    for name in NAMES:
        answer = httpx.post(f"{service.url}/sample", json=fields | {"prompt": f"the digit {name}"},
                            headers={"Accept": "application/x-npy"}, timeout=60)  # fmt: skip
        assert answer.headers["X-Model"] == "mnist-ddpm"
        drawn += list(np.load(io.BytesIO(answer.content)))
    right = np.array(read(drawn)) == np.repeat(np.arange(10), 4)
    assert right.mean() >= 0.85
