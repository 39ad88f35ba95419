"""What clients send that is right though unusual, or that they mean well by: it is answered as it is meant."""

import gzip
import json
import unicodedata
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.settings import Settings
from tests.asking import metric
from tests.integration.conftest import wait_until_ready
from tests.tiny import IMAGES, POINTS, save_tiny

FIELDS = {"dataset": "mnist", "label": 7, "seed": 3, "steps": 2}
JSON = {"Content-Type": "application/json"}
DECOMPOSED = unicodedata.normalize("NFD", "café")


def answer_of(client, fields, **headers) -> dict:
    answer = client.post("/sample", json=fields, headers={"Accept": "application/json", **headers})
    assert answer.status_code == 200, answer.text
    return answer.json()


# --- HEAD, and what a target may look like


@pytest.mark.parametrize(
    "path",
    ["/", "/healthz", "/readyz", "/metrics", "/models", "/v1/models", "/docs", "/docs/start.js", "/openapi.json",
     "/playground/main.js", "/sample?dataset=mnist&seed=1", "/sample?dataset=mnist&steps=0", "/nothing"],
)  # fmt: skip
def test_head_is_get_without_the_body(client, path):
    head, whole = client.head(path), client.get(path)
    assert (head.status_code, head.content) == (whole.status_code, b"")
    for name in ("content-type", "cache-control", "x-seed", "x-model", "vary", "etag"):
        assert head.headers.get(name) == whole.headers.get(name)


def test_head_samples_nothing_and_counts_as_no_answer(make_client):
    client = make_client()
    before = client.get("/metrics").text
    for accept in ("*/*", "text/event-stream"):
        answer = client.head("/sample?dataset=mnist&label=7", headers={"Accept": accept})
        assert answer.status_code == 200 and "content-length" not in answer.headers
    for name in ("spirale_requests_total{", "spirale_network_evaluations_total{", "spirale_request_seconds_count{"):
        assert name not in client.get("/metrics").text.replace(before, "")
    assert client.head("/sample?dataset=mnist", headers={"Accept": "video/mp4"}).status_code == 406


@pytest.mark.parametrize(
    "path", ["/docs/", "/sample/?dataset=mnist&steps=2", "/v1/models/", "/models/x%20y/reference/"]
)
def test_a_slash_too_many_is_led_back_by_a_relative_path(client, path):
    """So that it holds behind a prefix, and names no host that the request made up."""
    answer = client.get(path, headers={"Host": "evil.example"}, follow_redirects=False)
    path, _, query = path.partition("?")
    expected = "../" + path.rstrip("/").rpartition("/")[2] + (f"?{query}" if query else "")
    assert (answer.status_code, answer.headers["location"]) == (307, expected)
    assert client.get(path, params=query).status_code in (200, 404)


def test_a_post_is_led_back_with_its_method_and_body(client):
    assert client.post("/sample/", json=FIELDS).content == client.post("/sample", json=FIELDS).content


@pytest.mark.parametrize("path", ["/nothing/", "/playground", "//evil.example/", "/docs//"])
def test_no_other_path_is_led_anywhere(client, path):
    answer = client.request("GET", f"http://testserver{path}", follow_redirects=False)
    assert answer.status_code == 404 and "location" not in answer.headers


# --- numbers, seeds, empty fields


@pytest.mark.parametrize(
    "fields",
    [{"steps": 2.0}, {"label": 7.0}, {"seed": 3.0}, {"label": [7.0], "n": 1.0}, {"zoom": 1.0}, {"label": "7.0"},
     {"label": "７"}, {"seed": "3"}],
)  # fmt: skip
def test_a_whole_number_may_be_written_in_other_ways(client, fields):
    assert answer_of(client, FIELDS | fields) == answer_of(client, FIELDS)


def test_so_it_may_with_an_exponent_and_for_dimensions(client):
    body = json.dumps(FIELDS).replace('"steps": 2', '"steps": 2e0')
    assert client.post("/sample", content=body, headers=JSON).content == client.post("/sample", json=FIELDS).content
    png = {"Accept": "image/png"}
    for axes in ([1.0, 0.0], ["y", "x"]):
        shown = client.post("/sample", json={"dataset": "spiral", "seed": 1, "axes": axes}, headers=png)
        assert shown.content == client.get("/sample?dataset=spiral&seed=1&axes=1,0", headers=png).content


@pytest.mark.parametrize(
    "fields", [{"steps": 2.5}, {"steps": True}, {"steps": "2"}, {"seed": 2.0**63}, {"seed": 1e300}, {"seed": "3.5"},
               {"seed": "9" * 19}, {"seed": "9" * 5000}, {"seed": True}, {"label": 7.5}, {"label": "7.5"}]
)  # fmt: skip
def test_what_is_no_whole_number_or_no_seed_is_still_refused(client, fields):
    answer = client.post("/sample", json=FIELDS | fields)
    assert answer.status_code == 422 and answer.json()["errors"][0]["field"] == next(iter(fields))


def test_a_float_that_may_have_been_rounded_is_no_seed(client):
    body = '{"dataset": "mnist", "seed": 9007199254740993.0}'  # as a float it is …992
    assert client.post("/sample", content=body, headers=JSON).status_code == 422
    for seed in (9007199254740993, "9007199254740993"):
        assert answer_of(client, FIELDS | {"seed": seed})["seed"] == 9007199254740993


@pytest.mark.parametrize("seed", [-1, -1.0, "-1", "", None])
def test_a_seed_that_says_so_is_drawn(client, seed):
    seeds = {answer_of(client, FIELDS | {"seed": seed})["seed"] for _ in range(3)}
    assert len(seeds) == 3 and all(0 <= one < 2**32 for one in seeds)


def test_an_empty_field_of_a_form_is_not_there(client):
    full = client.get("/sample?dataset=mnist&label=7&seed=3&steps=2").content
    empty = "&".join(f"{name}=" for name in ("prompt", "guidance", "guidance_scale", "sampler", "eta", "n", "zoom"))
    assert client.get(f"/sample?dataset=mnist&label=7&seed=3&steps=2&{empty}").content == full
    assert client.get("/sample?dataset=mnist&label=&label=&steps=2&seed=").headers["x-seed"]
    assert client.get("/sample?dataset=").json()["errors"][0]["detail"] == "needed: one of mnist, spiral"
    assert client.get("/sample?dataset=mnist&seed=-1").headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("path", "field", "given"),
    [
        ("/sample?dataset=mnist&steps=2&label=7&label=3&steps=3", "steps", '["2", "3"]'),
        ("/sample?dataset=mnist&sampler=&sampler=", "sampler", '["", ""]'),
        ("/score?dataset=spiral&timestep=400&timestep=400", "timestep", '["400", "400"]'),
    ],
)
def test_one_value_that_stands_there_twice_is_refused(client, path, field, given):
    answer = client.get(path)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["field"], error["given"]) == (field, given)
    assert error["detail"].endswith("Given several times: give one")


# --- names


@pytest.fixture(scope="module")
def accented(tmp_path_factory) -> Iterator[TestClient]:
    """Names in either Unicode form, in full width, and two that differ in case alone."""
    labels = ("café", unicodedata.normalize("NFD", "naïve"), "Straße", "１号", "a", "A", "10")
    folder = tmp_path_factory.mktemp("accented")
    save_tiny(folder, POINTS.model_copy(update={"labels": labels, "names": (DECOMPOSED, "Größe")}))
    with TestClient(create_app(Settings(checkpoints=folder, device="cpu"))) as client:
        wait_until_ready(client)
        yield client


@pytest.mark.parametrize(
    ("label", "index"),
    [("café", 0), (DECOMPOSED, 0), ("CAFÉ", 0), ("ｃａｆé", 0), ("naïve", 1), ("nai\u0308ve", 1), ("STRASSE", 2),
     ("1号", 3), ("a", 4), ("A", 5), ("Ａ", None), ("10", 6), ("１０", 6), (" café\u00a0", 0), (" 2 ", 2),
     (1, 1), ("２", 2), ("cafe", None)],
)  # fmt: skip
def test_a_label_may_be_spelled_in_any_unicode_form(accented, label, index):
    names = accented.get("/models").json()["datasets"]["spiral"]["labels"]
    for answer in (
        accented.post("/sample", json={"dataset": "spiral", "label": label, "n": 1}),
        accented.get("/sample", params={"dataset": "spiral", "label": label, "n": 1}),
        accented.post("/sample", json={"dataset": "spiral", "label": [label]}),
    ):
        if index is None:
            assert answer.status_code == 422 and answer.json()["errors"][0]["field"] == "label"
        else:
            assert answer.json()["labels"] == [names[index]]


def test_so_may_a_dimension(accented):
    asked = {"dataset": "spiral", "n": 5, "seed": 1}
    png = {"Accept": "image/png"}
    pictures = {
        accented.post("/sample", json=asked | {"axes": axes}, headers=png).content
        for axes in (["Größe", "café"], [unicodedata.normalize("NFD", "größe"), DECOMPOSED], [1, 0])
    }
    assert len(pictures) == 1


def test_ten_thousand_labels_in_other_spellings_are_found(make_client, tmp_path):
    save_tiny(tmp_path, POINTS.model_copy(update={"labels": tuple(f"Größe {i}" for i in range(500))}))
    labels = [unicodedata.normalize("NFD", f"größe {i % 500}") for i in range(10_000)]
    answer = make_client(checkpoints=tmp_path).post("/sample", json={"dataset": "spiral", "label": labels, "steps": 1})
    assert answer.json()["labels"] == [f"Größe {i % 500}" for i in range(10_000)]


# --- bodies, caches, streams


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate, gzip", "GZIP"])
def test_a_compressed_body_is_refused_for_what_it_is(client, coding):
    for path in ("/sample", "/v1/images/generations"):
        body = gzip.compress(json.dumps(FIELDS).encode())
        answer = client.post(path, content=body, headers=JSON | {"Content-Encoding": coding})
        assert answer.status_code == 415 and answer.headers["accept-encoding"] == "identity"
        assert "send it uncompressed" in answer.text
    assert client.post("/sample", json=FIELDS, headers={"Content-Encoding": "identity"}).status_code == 200


def test_what_would_be_another_the_next_time_is_kept_by_no_cache(client):
    drawn, given = client.get("/sample?dataset=mnist"), client.get("/sample?dataset=mnist&seed=1")
    assert drawn.headers["cache-control"] == "no-store" and "cache-control" not in given.headers
    for path in ("/sample?dataset=cats", "/nothing", "/healthz", "/readyz", "/metrics", "/models"):
        assert client.get(path).headers["cache-control"] == "no-store"
    stream = client.get("/sample?dataset=mnist&seed=1&steps=2", headers={"Accept": "text/event-stream"})
    assert stream.headers["cache-control"] == "no-store, no-transform"
    assert stream.headers["x-accel-buffering"] == "no"


def test_an_event_source_that_comes_again_after_the_end_is_sent_away(client):
    """It would ask for ever: when a stream has ended, a browser's EventSource asks anew, with the last event's id."""
    stream = {"Accept": "text/event-stream"}
    first = client.get("/sample?dataset=mnist&steps=3&previews=1", headers=stream).text
    assert first.count("id: ") == 1 and "\n\nid: end\nevent: result\n" in first
    answered = metric(client, 'spirale_requests_total{dataset="mnist",outcome="ok"}')
    again = client.get("/sample?dataset=mnist&steps=3&previews=1", headers=stream | {"Last-Event-ID": "end"})
    assert (again.status_code, again.content) == (204, b"")
    assert metric(client, 'spirale_requests_total{dataset="mnist",outcome="ok"}') == answered
    last = {"Last-Event-ID": "end"}
    assert (
        client.get("/sample?dataset=mnist&steps=2", headers={"Accept": "Text/Event-Stream"} | last).status_code == 204
    )
    for accept in ("*/*", "image/png, text/event-stream;q=0.1"):
        other = client.get("/sample?dataset=mnist&steps=2", headers={"Accept": accept} | last)
        assert other.headers["content-type"] == "image/png"
    assert metric(client, 'spirale_requests_total{dataset="mnist",outcome="ok"}') == answered + 2


def test_a_number_is_a_class_before_it_is_another_spelling(make_client, tmp_path):
    save_tiny(tmp_path, IMAGES.model_copy(update={"labels": ("1", "0")}))
    client = make_client(checkpoints=tmp_path)
    for label in (1, 1.0, "1", "１"):
        assert answer_of(client, {"dataset": "mnist", "label": label})["images"][0]["label"] == "1"


@pytest.mark.parametrize("target", ["http://service.example/healthz", "HTTP://127.0.0.1:8000/healthz", "/healthz"])
def test_an_absolute_target_is_the_path_in_it(make_client, target):
    """RFC 9112 3.2.2: of a client that takes the service for its proxy. What is open without the key stays so."""
    client = make_client(ready=False, api_key="sesame")
    assert asked_of(client, "GET", target) == 200
    assert asked_of(client, "HEAD", target) == 200
    assert asked_of(client, "GET", target.replace("healthz", "models")) == 401
    assert asked_of(client, "GET", target.replace("healthz", "x/http://a.example/healthz")) == 401


def asked_of(client, method: str, target: str) -> int:
    """The status of a request with that target, as the server hands it over."""
    answer = []
    scope = {
        "type": "http", "http_version": "1.1", "method": method, "scheme": "http", "path": target,
        "raw_path": target.encode(), "root_path": "", "query_string": b"", "headers": [(b"host", b"a.example")],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2), "state": {},
    }  # fmt: skip

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        answer.append(message)

    client.portal.call(client.app, scope, receive, send)
    return answer[0]["status"]
