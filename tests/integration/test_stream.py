"""text/event-stream: the samples form before one's eyes, and are the same bytes as without."""

import asyncio
import base64
import contextlib
import io
import json
import re
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from model.noise import normal
from model.noise_schedule import make_schedule
from service.engine.job import JobFailed
from service.http.lifecycle import counted
from service.requests.control_image import Hint
from service.requests.resolve import resolve
from service.requests.schemas import SampleRequest
from service.responses.event_stream import EventStream, Stream, preview_steps
from service.responses.representations import encoders
from tests.tiny import POINTS

STREAM = {"Accept": "text/event-stream"}


def events_of(answer) -> list[tuple[str, dict]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    found = re.findall(r"event: (\w+)\ndata: (.*)\n\n", answer.text)
    return [(name, json.loads(data)) for name, data in found]


def test_progress_then_the_answer_that_there_would_be_without(client):
    fields = {"dataset": "mnist", "label": 7, "seed": 3, "n": 2, "steps": 20, "previews": 4}
    answer = client.post("/sample", json=fields, headers=STREAM)
    assert answer.headers["x-seed"] == "3" and "server-timing" not in answer.headers
    *progress, (last, result) = events_of(answer)
    assert [name for name, _ in progress] == ["progress"] * 4 and last == "result"
    assert [data["step"] for _, data in progress] == [4, 8, 12, 16] and {data["of"] for _, data in progress} == {20}
    assert Image.open(io.BytesIO(base64.b64decode(progress[0][1]["b64_png"]))).size == (17, 8)
    assert set(result.pop("timings")) == {"queue", "sample", "encode"}
    del fields["previews"]
    assert result == client.post("/sample", json=fields, headers={"Accept": "application/json"}).json()


def test_noisy_previews_show_the_noise_first_and_x_t_beside_x0(client, checkpoints):
    fields = {"dataset": "spiral", "n": 3, "seed": 7, "steps": 5, "sampler": "ddim", "previews": 4}
    plain = events_of(client.post("/sample", json=fields, headers=STREAM))
    events = events_of(client.post("/sample", json=fields | {"noisy_previews": True}, headers=STREAM))
    (_, start), *progress = events[:-1]
    assert [data["step"] for _, data in events[:-1]] == [0, 1, 2, 3, 4]
    assert [data["timestep"] for _, data in events[:-1]] == [50, 40, 30, 20, 10]
    assert set(start) == {"step", "of", "timestep", "x_t"}
    noise = normal(torch.arange(7, 10), torch.zeros(3, dtype=torch.int64), (2,))
    np.testing.assert_allclose(start["x_t"]["points"], POINTS.restore(noise))
    # Without noise of its own, DDIM's x_t is what its x̂0 and the start leave no choice about.
    alpha_bar = make_schedule("cosine", 50).alpha_bar
    x0, x_t = (np.array(data) / 2 for data in (progress[0][1]["points"], progress[0][1]["x_t"]["points"]))
    epsilon = (noise.numpy() - alpha_bar[50] ** 0.5 * x0) / (1 - alpha_bar[50]) ** 0.5
    np.testing.assert_allclose(x_t, alpha_bar[40] ** 0.5 * x0 + (1 - alpha_bar[40]) ** 0.5 * epsilon, atol=1e-5)
    assert [{**data, "x_t": None} for _, data in progress] == [{**data, "x_t": None} for _, data in plain[:-1]]
    assert events[-1][1]["points"] == plain[-1][1]["points"]


def test_who_waits_is_told_how_many_run_first(make_client):
    client = make_client()
    state = client.app.state.spirale
    resolved = resolve(state.catalog, SampleRequest(dataset="mnist", seed=1))
    backlog = state.engine._workers[0].backlog
    backlog.admit(-1, resolved.job)  # it stays in the books
    ahead_of, told = state.engine.ahead_of, []

    def watched(ticket):
        told.append(ahead_of(ticket))
        return told[-1]

    state.engine.ahead_of = watched
    events = events_of(client.post("/sample", json={"dataset": "mnist", "previews": 0}, headers=STREAM))
    assert [name for name, _ in events] == ["waiting"] * sum(one is not None for one in told) + ["result"]
    assert all(data["jobs"] == 1 and data["seconds"] >= 0 for _, data in events[:-1])


def test_events_are_encoded_off_the_event_loop_and_once(make_client, monkeypatch):
    client = make_client()
    threads = []

    def watched(function):
        def call(*arguments):
            threads.append(threading.current_thread().name)
            return function(*arguments)

        return call

    watched_json = SimpleNamespace(dumps=watched(json.dumps), loads=watched(json.loads))
    monkeypatch.setattr("service.responses.event_stream.json", watched_json)
    answer = client.post("/sample", json={"dataset": "spiral", "n": 5, "steps": 4, "previews": 2}, headers=STREAM)
    assert len(events_of(answer)) == len(threads) == 3
    assert all(name.startswith("encode") for name in threads)


def test_a_hint_is_encoded_once_for_all_images(make_client, monkeypatch):
    """An answer's `control` is a PNG of its own: sixty-four images share it."""
    hint = Hint("canny", torch.zeros(1, 8, 8), 0.5)
    resolved = resolve(make_client().app.state.spirale.catalog, SampleRequest(dataset="mnist", n=64)).with_hint(hint)
    encoded = []
    monkeypatch.setattr("service.requests.resolve.as_control", lambda hint: encoded.append(hint) or {})
    encoders("images")["application/zip"](resolved, np.zeros((64, 8, 8), np.uint8), 1)
    assert encoded == [hint]


def test_points_stream_as_points(client):
    fields = {"dataset": "spiral", "n": 5, "seed": 3, "steps": 4, "previews": 1}
    (_, progress), (_, result) = events_of(client.post("/sample", json=fields, headers=STREAM))
    assert np.shape(progress["points"]) == (5, 2) and np.shape(result["points"]) == (5, 2)


def test_without_previews_there_is_the_result_alone(client):
    fields = {"dataset": "mnist", "previews": 0}
    assert [name for name, _ in events_of(client.post("/sample", json=fields, headers=STREAM))] == ["result"]


@pytest.mark.parametrize("field", [{"previews": 3}, {"noisy_previews": True}])
def test_previews_apply_to_a_stream_only(client, field):
    answer = client.post("/sample", json={"dataset": "mnist"} | field)
    assert answer.status_code == 422 and "text/event-stream" in answer.json()["detail"]


def test_a_failure_on_the_way_is_told_in_the_stream_and_counted(make_client):
    client = make_client()
    engine = client.app.state.spirale.engine
    result = engine.result

    async def fail(ticket):
        await result(ticket)
        raise JobFailed("a value was not finite")

    engine.result = fail
    ((name, problem),) = events_of(client.post("/sample", json={"dataset": "mnist", "previews": 0}, headers=STREAM))
    assert name == "error" and problem["status"] == 500
    assert 'spirale_requests_total{dataset="mnist",outcome="failed"} 1.0' in client.get("/metrics").text


def test_a_picture_that_cannot_be_made_is_told_in_the_stream_without_a_trace(make_client, monkeypatch):
    client = make_client()
    monkeypatch.setattr("service.responses.event_stream.encode_preview", lambda *_: 1 / 0)
    ((name, problem),) = events_of(client.post("/sample", json={"dataset": "mnist", "previews": 1}, headers=STREAM))
    assert name == "error" and problem["status"] == 500 and "ZeroDivision" not in problem["detail"]
    assert 'spirale_requests_total{dataset="mnist",outcome="failed"} 1.0' in client.get("/metrics").text


def test_a_stream_that_is_never_read_frees_its_rows_and_counts_as_cancelled(make_client):
    """The client is gone before the first byte: the server never iterates the answer."""
    client = make_client()
    state = client.app.state.spirale

    async def leave():
        resolved = resolve(state.catalog, SampleRequest(dataset="mnist", n=64, steps=50))
        stream = Stream(state.engine, resolved, 3, 1, None)
        until_answered = contextlib.ExitStack()
        until_answered.enter_context(counted("mnist", state))
        answer = EventStream(stream, until_answered, {})

        async def gone():
            return {"type": "http.disconnect"}

        async def broken(_):
            await asyncio.sleep(60)

        await answer({"type": "http", "asgi": {"spec_version": "2.3"}}, gone, broken)
        await asyncio.sleep(0)
        assert stream._result.cancelled()

    asyncio.run(leave())
    assert 'spirale_requests_total{dataset="mnist",outcome="cancelled"} 1.0' in client.get("/metrics").text


def test_a_full_queue_is_answered_before_a_stream_begins(make_client):
    client = make_client(max_queued_seconds=1e-9)
    engine = client.app.state.spirale.engine
    resolved = resolve(client.app.state.spirale.catalog, SampleRequest(dataset="mnist"))
    engine._workers[0].backlog.admit(-1, resolved.job)  # it stays in the books: the engine is never idle
    answer = client.post("/sample", json={"dataset": "mnist"}, headers=STREAM)
    assert answer.status_code == 429 and int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    ("previews", "steps", "at"),
    [(4, 20, (4, 8, 12, 16)), (0, 20, ()), (10, 4, (1, 2, 3)), (50, 1, ()), (1, 2, (1,)), (2, 1000, (333, 667))],
)
def test_previews_are_spread_over_the_steps(previews, steps, at):
    assert preview_steps(previews, steps) == at
