"""What clients of OpenAI's images API send always, and how they are told of errors; also from a browser."""

import openai
import pytest
from fastapi.testclient import TestClient

from model.checkpoints.base import save_checkpoint
from service.app import create_app
from service.engine.job import DeadlinePassed, JobFailed
from service.settings import Settings
from tests.integration.conftest import wait_until_ready
from tests.integration.test_prompts import decoded
from tests.tiny import tiny_text_checkpoint

GENERATIONS = "/v1/images/generations"
ASKED = {"prompt": "thin 7", "seed": 3, "steps": 2}
ORIGIN = {"Origin": "https://a.example"}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """One model of images that reads prompts, with a key, for pages of one origin."""
    folder, text = tmp_path_factory.mktemp("checkpoints"), tiny_text_checkpoint()
    save_checkpoint(folder / "text", text.config, text.network, text.text)
    settings = Settings(checkpoints=folder, device="cpu", api_key="sesame", cors_origins=("https://a.example",))
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        wait_until_ready(client)
        client.headers["Authorization"] = "Bearer sesame"
        yield client


def official(client, key="sesame", **options) -> openai.OpenAI:
    return openai.OpenAI(base_url="http://testserver/v1", api_key=key, http_client=client, **options)


# --- fields


@pytest.mark.parametrize("options", [{"stream": 0}, {"partial_images": False}])
def test_false_is_no_number_and_0_is_not_false(client, options):
    answer = client.post(GENERATIONS, json=ASKED | options)
    assert answer.status_code == 400 and answer.json()["error"]["param"] == next(iter(options))


@pytest.mark.parametrize(
    "options",
    [{"quality": "auto"}, {"quality": "high"}, {"quality": "hd"}, {"quality": "standard"},
     {"output_format": "png"}, {"background": "auto"}, {"background": "opaque"},
     {"moderation": "auto"}, {"stream": False}, {"partial_images": 0}, {"n": 1}, {"n": None}, {"size": "auto"},
     {"response_format": "b64_json"}, {"quality": None, "style": None, "user": None, "output_compression": None},
     {"size": "8x8"}, {"n": 1.0}],
)  # fmt: skip
def test_a_value_that_means_the_default_changes_nothing(client, options):
    answer = client.post(GENERATIONS, json=ASKED | options)
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"] == client.post(GENERATIONS, json=ASKED).json()["data"]
    assert "x-ignored-fields" not in answer.headers


@pytest.mark.parametrize(
    "options",
    [{"quality": "low"}, {"quality": "medium"}, {"style": "vivid"}, {"moderation": "low"}, {"user": "somebody"},
     {"output_compression": 100}, {"quality": "low", "style": "natural"}],
)  # fmt: skip
def test_a_value_that_means_nothing_here_is_named_as_ignored(client, options):
    answer = client.post(GENERATIONS, json=ASKED | options)
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"] == client.post(GENERATIONS, json=ASKED).json()["data"]
    assert answer.headers["x-ignored-fields"] == ", ".join(options)


@pytest.mark.parametrize(
    ("size", "side"),
    [("256x256", 256), ("512x512", 512), ("1024x1024", 1024), ("1792x1024", 1024), ("1024x1536", 1024), ("30x30", 24),
     ("1024x512", 512), ("8x8", 8), ("2048x2048", 1024), ("15x99999", 8)],
)  # fmt: skip
def test_the_largest_picture_that_fits_into_a_size_is_answered(client, size, side):
    (image,) = official(client).images.generate(prompt="thin 7", size=size, extra_body={"steps": 1}).data
    assert decoded(image).shape == (side, side)
    answer = client.post(GENERATIONS, json=ASKED | {"size": size})
    assert answer.headers.get("x-ignored-fields") == (None if size == f"{side}x{side}" else "size")


# --- errors


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "param", "code"),
    [
        ("GET", "/v1/models", {"headers": {"Authorization": "Bearer wrong"}}, 401, None, "invalid_api_key"),
        ("GET", "/v1/nothing", {}, 404, None, "unknown_url"),
        ("POST", "/v1/chat/completions", {"json": {"model": "x"}}, 404, None, "unknown_url"),
        ("GET", "/v1", {}, 404, None, "unknown_url"),
        ("GET", "/v1/models/dall-e-3", {}, 404, "model", "model_not_found"),
        ("POST", GENERATIONS, {"json": ASKED | {"model": "dall-e-3"}}, 404, "model", "model_not_found"),
        ("GET", GENERATIONS, {}, 405, None, None),
        ("POST", GENERATIONS, {"content": b"x" * 3_000_000}, 413, None, None),
        ("POST", GENERATIONS, {"content": b"x", "headers": {"Content-Type": "text/plain"}}, 415, None, None),
        ("POST", GENERATIONS, {"content": b"{", "headers": {"Content-Type": "application/json"}}, 400, None, None),
        ("POST", GENERATIONS, {"content": b"\xff", "headers": {"Content-Type": "application/json"}}, 400, None, None),
        ("POST", GENERATIONS, {"json": ASKED | {"n": 0}}, 400, "n", None),
    ],
)
def test_every_error_is_in_openais_form(client, method, path, options, status, param, code):
    answer = client.request(method, path, **options)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
    assert int(answer.headers["content-length"]) == len(answer.content)
    (error,) = answer.json().values()
    assert error["message"] and error["type"] == "invalid_request_error"
    assert (error["param"], error["code"]) == (param, code)
    assert client.head(path).content == b""
    if status in (401, 405):
        assert "www-authenticate" in answer.headers or answer.headers["allow"] == "POST"


def test_openais_client_shows_what_was_wrong(client):
    with pytest.raises(openai.AuthenticationError, match="this API key is not known"):
        official(client, key="wrong").models.list()
    with pytest.raises(openai.NotFoundError, match="there is no /v1/chat/completions"):
        official(client).chat.completions.create(model="x", messages=[])


@pytest.mark.parametrize(
    ("error", "tried"), [(DeadlinePassed("not done within 120 s"), 1), (JobFailed("not finite"), 3)]
)
def test_openais_client_does_not_repeat_what_took_too_long(client, monkeypatch, error, tried):
    asked = []

    async def fail(job, key):
        asked.append(job)
        raise error

    monkeypatch.setattr(client.app.state.spirale.engine, "sample", fail)
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between two tries
    with pytest.raises(openai.InternalServerError) as raised:
        official(client, max_retries=2).images.generate(prompt="thin 7")
    assert len(asked) == tried and raised.value.type == "server_error"


# --- from a page


@pytest.mark.parametrize(
    "headers",
    ["authorization,content-type,x-stainless-os,x-stainless-retry-count", "cache-control,last-event-id", "x-anything"],
)
@pytest.mark.parametrize("path", [GENERATIONS, "/sample"])
def test_a_page_may_send_any_header(client, path, headers):
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": headers}
    answer = client.options(path, headers=ORIGIN | asked)
    assert answer.status_code == 200 and answer.headers["access-control-allow-headers"] == headers
    assert answer.headers["access-control-allow-origin"] == "https://a.example"


def test_a_public_page_may_ask_in_a_private_network(client):
    asked = {"Access-Control-Request-Method": "HEAD", "Access-Control-Request-Private-Network": "true"}
    answer = client.options("/sample", headers=ORIGIN | asked)
    assert (answer.status_code, answer.headers["access-control-allow-private-network"]) == (200, "true")


def test_another_page_is_told_so_in_the_form_of_the_path(client):
    asked = {"Origin": "https://b.example", "Access-Control-Request-Method": "POST"}
    answer = client.options("/sample", headers=asked)
    assert answer.status_code == 400 and answer.headers["content-type"] == "application/problem+json"
    assert "--cors-origins" in answer.json()["detail"] and "access-control-allow-origin" not in answer.headers
    assert "--cors-origins" in client.options(GENERATIONS, headers=asked).json()["error"]["message"]


def test_a_page_may_read_what_the_headers_say(client):
    answer = client.post(GENERATIONS, json=ASKED | {"style": "vivid"}, headers=ORIGIN)
    exposed = answer.headers["access-control-expose-headers"]
    assert {"X-Ignored-Fields", "X-Seed", "X-Should-Retry", "Retry-After"} <= set(exposed.split(", "))
    refused = client.get("/v1/models", headers=ORIGIN | {"Authorization": "Bearer wrong"})
    assert refused.status_code == 401 and refused.headers["access-control-allow-origin"] == "https://a.example"
