"""Words instead of labels, over HTTP: our own API and OpenAI's."""

import base64
import io
import json
from urllib.parse import unquote

import numpy as np
import openai
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from model.checkpoints.base import save_checkpoint
from model.checkpoints.config import SamplingOverrides
from model.samplers import SAMPLERS
from service.app import create_app
from service.settings import Settings
from tests.asking import ask
from tests.integration.conftest import wait_until_ready
from tests.tiny import IMAGES, POINTS, save_tiny, tiny_classifier, tiny_clip, tiny_text_checkpoint

ASKED = {"dataset": "mnist", "prompt": "a thin seven", "seed": 3}


def serve(folder):
    client = TestClient(create_app(Settings(checkpoints=folder, device="cpu")))
    client.__enter__()
    wait_until_ready(client)
    return client


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """`mnist` in every way that it can be asked for; `spiral`, which understands no words."""
    folder = tmp_path_factory.mktemp("checkpoints")
    save_tiny(folder, IMAGES, name="mnist-cfg")
    save_tiny(folder, IMAGES.model_copy(update={"labels": ()}), name="mnist-ddpm", learned_variance=True)
    save_tiny(folder, POINTS)
    for name, one in (("classifier", tiny_classifier()), ("clip", tiny_clip()), ("text", tiny_text_checkpoint())):
        save_checkpoint(folder / name, one.config, one.network, getattr(one, "text", None))
    client = serve(folder)
    yield client
    client.__exit__(None, None, None)


def pixels(answer: dict) -> list:
    return [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(image["b64_png"])))).tolist() for image in answer["images"]
    ]


def test_a_prompt_is_answered_by_the_model_that_reads_it(client):
    answer = ask(client, ASKED)
    assert (answer["model"], answer["guidance"], answer["guidance_scale"]) == ("mnist-text-cfg", "classifier-free", 1.5)
    assert (answer["prompt"], answer["unknown_words"]) == ("a thin seven", ["a"])
    assert pixels(ask(client, ASKED | {"prompt": "a bold 3"})) != pixels(answer)
    assert pixels(ask(client, ASKED | {"prompt": "A  THIN, seven"})) == pixels(answer)


def test_clip_guides_the_unconditional_model(client):
    answer = ask(client, ASKED | {"guidance": "clip"})
    assert (answer["model"], answer["guidance"], answer["guidance_scale"]) == ("mnist-ddpm", "clip", 3.0)
    off = ask(client, ASKED | {"guidance": "clip", "guidance_scale": 0})
    assert pixels(off) == pixels(ask(client, {"dataset": "mnist", "seed": 3})) != pixels(answer)
    assert pixels(ask(client, ASKED | {"model": "mnist-ddpm"})) == pixels(answer)  # the only way there


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("guidance", ["none", "classifier-free", "clip"])
def test_every_sampler_follows_a_prompt_in_every_way(client, sampler, guidance):
    fields = {"dataset": "mnist", "seed": 3, "sampler": sampler, "guidance": guidance}
    one, other = (pixels(ask(client, fields | {"prompt": prompt})) for prompt in ("thin 7", "bold 3"))
    assert one != other


def test_many_samples_of_a_prompt_are_what_each_is_alone(client):
    together = pixels(ask(client, ASKED | {"n": 3}))
    assert together == [pixels(ask(client, ASKED | {"seed": 3 + i}))[0] for i in range(3)]


def test_scale_1_is_none_and_the_answer_gives_the_same_again(client):
    none = ask(client, ASKED | {"guidance": "none"})
    assert none["guidance_scale"] is None
    assert pixels(none) == pixels(ask(client, ASKED | {"guidance_scale": 1}))
    answer = ask(client, ASKED)
    again = {
        key: value for key, value in answer.items() if key not in ("images", "unknown_words") and value is not None
    }
    assert ask(client, again) == answer


def test_a_label_beside_a_prompt_is_said_in_words(client):
    answer = ask(client, {"dataset": "mnist", "prompt": "thin", "label": 7, "seed": 3})
    assert answer["prompt"] == "thin seven"
    assert pixels(answer) == pixels(ask(client, {"dataset": "mnist", "prompt": "thin seven", "seed": 3}))
    assert ask(client, ASKED | {"label": "7"})["prompt"] == "a thin seven"  # said already


@pytest.mark.parametrize(
    ("fields", "field", "says"),
    [
        ({"prompt": ""}, "prompt", "at least 1"),
        ({"prompt": "x" * 201}, "prompt", "at most 200"),
        ({"prompt": "   "}, "prompt", "thin seven"),
        ({"prompt": "hello there"}, "prompt", "thin seven"),
        ({"prompt": "thin\x00seven"}, "prompt", "control characters"),
        ({"prompt": "\ud83d 7"}, "prompt", "unicode"),
        ({"prompt": "7 7 7 7 7 7 7"}, "prompt", "at most 6"),
        ({"prompt": 7}, "prompt", "string"),
        ({"prompt": "thin 7", "label": 3}, "label", "the prompt says seven"),
        ({"prompt": "a 7 or a 3", "label": 3}, "label", "the prompt says 3 and seven"),
        ({"prompt": "thin 7", "label": 12}, "label", "0 … 9"),
        ({"prompt": "thin 7", "label": [7, 7]}, "label", "one for all samples"),
        ({"prompt": "thin 7", "guidance": "classifier"}, "guidance", "classifier-free or clip"),
        ({"prompt": "thin 7", "model": "mnist-cfg"}, "prompt", "prompts are for mnist"),
        ({"prompt": "thin 7", "model": "mnist-text-cfg", "guidance": "clip"}, "guidance", "mnist-text-cfg has no clip"),
        ({"prompt": "thin 7", "guidance": "none", "guidance_scale": 2}, "guidance_scale", "does not go with"),
        ({"prompt": "thin 7", "guidance": "none", "model": "mnist-ddpm"}, "guidance", "only clip guides it"),
        ({"prompt": "thin 7", "guidance": "classifier-free", "model": "mnist-ddpm"}, "guidance", "only clip guides it"),
        ({"label": 7, "guidance": "clip"}, "guidance", "needs a prompt"),
        ({"prompt": "7", "guidance": "clip", "guidance_interval": [0, 3]}, "guidance_interval", "guidance is clip"),
        ({"guidance": "clip"}, "guidance", "needs a prompt"),
        ({"label": 7, "model": "mnist-text-cfg"}, "label", "reads a prompt"),
        ({"dataset": "spiral", "prompt": "inner"}, "prompt", "prompts are for mnist"),
        ({"dataset": "spiral", "prompt": "inner", "guidance": "clip"}, "guidance", "spiral has no clip"),
    ],
)
def test_what_cannot_be_says_why(client, fields, field, says):
    body = json.dumps({"dataset": "mnist"} | fields).encode()
    answer = client.post("/sample", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert says in answer.json()["detail"]


def test_links_streams_and_files_tell_the_prompt(client):
    png = client.get("/sample", params={"dataset": "mnist", "prompt": "thin 7", "seed": 1}).content
    assert json.loads(Image.open(io.BytesIO(png)).text["Parameters"])["prompt"] == "thin 7"
    events = client.post("/sample", json=ASKED | {"previews": 2}, headers={"Accept": "text/event-stream"}).text
    assert ask(client, ASKED)["images"][0]["b64_png"] in events
    *_, result = (json.loads(line[6:]) for line in events.splitlines() if line.startswith("data: "))
    assert result["unknown_words"] == ["a"]


def test_words_that_were_not_understood_are_told_whatever_the_answer_comes_as(client):
    asked = ASKED | {"prompt": "drôle de, 雨 seven"}
    for accept in ("image/png", "application/json", "application/zip", "text/event-stream"):
        answer = client.post("/sample", json=asked, headers={"Accept": accept})
        words = answer.headers["x-unknown-words"].split(",")
        assert answer.status_code == 200 and [unquote(word) for word in words] == ["drôle", "de", "雨"]
    by_openai = client.post("/v1/images/generations", json={"prompt": asked["prompt"]})
    assert by_openai.headers["x-unknown-words"] == answer.headers["x-unknown-words"]
    for understood in ({"prompt": "thin seven"}, {"prompt": None, "label": 7}):
        assert "x-unknown-words" not in client.post("/sample", json=ASKED | understood).headers
    long = client.post("/sample", json=ASKED | {"prompt": f"{'雨' * 50} {'雪' * 100} 7"}).headers["x-unknown-words"]
    assert unquote(long) == "雨" * 50  # the other would make it too long


def test_models_tell_what_is_understood(client):
    datasets = client.get("/models").json()["datasets"]
    assert datasets["mnist"]["guidances"] == ["none", "classifier-free", "classifier", "clip"]
    assert datasets["mnist"]["prompts"]["examples"] == ["thin seven", "the digit 3"]
    assert "seven" in datasets["mnist"]["prompts"]["words"]
    assert datasets["spiral"]["prompts"] is None
    conditioning = {model["name"]: model["conditioning"] for model in datasets["mnist"]["models"]}
    assert conditioning == {"mnist-cfg": "label", "mnist-ddpm": None, "mnist-text-cfg": "text"}


def test_without_a_model_that_reads_it_a_prompt_goes_to_clip(tmp_path):
    save_tiny(tmp_path, IMAGES.model_copy(update={"labels": ()}), name="mnist-ddpm")
    clip = tiny_clip()
    save_checkpoint(tmp_path / "clip", clip.config, clip.network, clip.text)
    client = serve(tmp_path)
    assert ask(client, ASKED)["guidance"] == "clip"
    client.__exit__(None, None, None)


def test_a_clip_that_is_preferred_answers_where_no_guidance_is_named_as_it_advises(tmp_path):
    save_tiny(tmp_path, IMAGES.model_copy(update={"labels": ()}), name="mnist-ddpm", learned_variance=True)
    clip, reading = tiny_clip(), tiny_text_checkpoint()
    advice = SamplingOverrides(guidance_scale=3, sampler="ddpm", steps=6)
    default_for_prompts = clip.config.model_copy(update={"default_for_prompts": True, "sampling": advice})
    save_checkpoint(tmp_path / "clip", default_for_prompts, clip.network, clip.text)
    save_checkpoint(tmp_path / "text", reading.config, reading.network, reading.text)
    client = serve(tmp_path)
    answer = ask(client, ASKED)
    assert (answer["model"], answer["guidance"], answer["sampler"]) == ("mnist-ddpm", "clip", "ddpm")
    given = {"guidance": "clip", "sampler": "ddpm", "guidance_scale": 3, "steps": 6}
    assert pixels(answer) == pixels(ask(client, ASKED | given)) != pixels(ask(client, ASKED | {"steps": 4}))
    named = ask(client, ASKED | {"guidance": "classifier-free"})
    unguided = ask(client, {"dataset": "mnist"})
    assert named["model"] == "mnist-text-cfg"
    assert [(one["sampler"], one["steps"]) for one in (named, unguided)] == 2 * [("dpmpp-2m", 4)]
    assert [one["id"] for one in client.get("/v1/models").json()["data"]] == ["mnist-ddpm", "mnist-text-cfg"]
    image = client.post("/v1/images/generations", json={"prompt": ASKED["prompt"], "seed": ASKED["seed"]}).json()
    assert image["data"][0]["b64_json"] == answer["images"][0]["b64_png"]
    client.__exit__(None, None, None)


# --- OpenAI's images API, by its own client


@pytest.fixture
def official(client):
    return openai.OpenAI(base_url="http://testserver/v1", api_key="none", http_client=client, max_retries=0)


def decoded(image) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(image.b64_json))))


def test_openais_client_gets_the_same_images(client, official):
    answer = official.images.generate(prompt="a thin seven", n=2, extra_body={"seed": 3})
    ours = pixels(ask(client, ASKED | {"n": 2}))
    assert [decoded(image).tolist() for image in answer.data] == ours
    assert answer.created > 1.7e9


def test_openais_sizes_are_multiples_of_the_models_own(official):
    options = dict(prompt="thin 7", response_format="b64_json", user="somebody", extra_body={"seed": 3, "steps": 2})
    small, large = (official.images.generate(size=size, **options).data[0] for size in ("auto", "24x24"))
    assert np.array_equal(decoded(small).repeat(3, 0).repeat(3, 1), decoded(large))


def test_openais_models_are_those_that_understand_prompts(official):
    assert [model.id for model in official.models.list()] == ["mnist-text-cfg", "mnist-ddpm"]
    assert official.models.retrieve("mnist-ddpm").owned_by == "spirale"
    clip = official.images.generate(prompt="thin 7", model="mnist-ddpm")
    assert decoded(clip.data[0]).shape == (8, 8)


@pytest.mark.parametrize(
    ("options", "param", "says"),
    [
        ({"prompt": "hello"}, "prompt", "thin seven"),
        ({"prompt": ""}, "prompt", "at least 1"),
        ({"n": 11}, "n", "less than or equal to 10"),
        ({"size": "7x1024"}, "size", "auto, or WIDTHxHEIGHT of at least 8x8"),
        ({"size": "large"}, "size", "auto, or WIDTHxHEIGHT of at least 8x8"),
        ({"response_format": "url"}, "response_format", "b64_json"),
        ({"output_format": "webp"}, "output_format", "'png'"),
        ({"background": "transparent"}, "background", "'opaque'"),
        ({"stream": True}, "stream", "False"),
        ({"extra_body": {"negative_prompt": "4"}}, "negative_prompt", "unknown field"),
        ({"extra_body": {"steps": 99}}, "steps", "1 … 50"),
        ({"extra_body": {"seed": -2}}, "seed", "0 … "),
    ],
)
def test_openais_client_is_told_what_is_wrong(official, options, param, says):
    with pytest.raises(openai.BadRequestError, match=says) as raised:
        official.images.generate(**({"prompt": "thin 7"} | options))
    assert raised.value.param == param
    assert raised.value.type == "invalid_request_error"


def test_openais_client_is_told_which_models_there_are(official):
    with pytest.raises(openai.NotFoundError, match="there are: mnist-text-cfg, mnist-ddpm"):
        official.images.generate(prompt="thin 7", model="dall-e-2")
    with pytest.raises(openai.NotFoundError):
        official.models.retrieve("mnist-cfg")


def test_openais_client_is_told_that_nothing_understands_prompts(tmp_path):
    save_tiny(tmp_path, IMAGES)
    client = serve(tmp_path)
    with pytest.raises(openai.NotFoundError, match="no model here understands prompts"):
        openai.OpenAI(base_url="http://testserver/v1", api_key="x", http_client=client).images.generate(prompt="7")
    client.__exit__(None, None, None)


def test_openais_requests_are_counted(client, official):
    def count(dataset: str, outcome: str) -> float:
        text = client.get("/metrics").text
        line = f'spirale_requests_total{{dataset="{dataset}",outcome="{outcome}"}} '
        return sum(float(of.split()[-1]) for of in text.splitlines() if of.startswith(line))

    before = [count("mnist", "ok"), count("mnist", "invalid"), count("unknown", "invalid")]
    official.images.generate(prompt="thin 7")
    for options in ({"prompt": "hello"}, {"prompt": "7", "n": 0}, {"prompt": "7", "model": "dall-e-2"}):
        with pytest.raises(openai.APIStatusError):
            official.images.generate(**options)
    counts = [count("mnist", "ok"), count("mnist", "invalid"), count("unknown", "invalid")]
    assert counts == [before[0] + 1, before[1] + 1, before[2] + 2]
