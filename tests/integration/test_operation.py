"""Health, readiness, metrics, the catalogue, OpenAPI."""

import asyncio
import re
import shutil
import subprocess
import threading

import pytest
from structlog.testing import capture_logs

from service.app import NothingToServe, create_app
from service.http.problems import ProblemBody
from service.responses.sample_answers import ImagesAnswer, PointsAnswer
from service.settings import Settings
from tests.integration.conftest import wait_until_ready
from tests.waiting import wait_for


def test_models_say_what_may_be_asked(client):
    body = client.get("/models").json()
    assert body["device"] == "cpu" and "same bytes" in body["seeds"]
    mnist = body["datasets"]["mnist"]
    assert mnist["labels"] == list("0123456789") and mnist["shape"] == [1, 8, 8]
    assert mnist["guidances"] == ["none", "classifier-free"]
    (model,) = mnist["models"]
    assert model["defaults"] == {
        "sampler": "dpmpp-2m", "steps": 4, "guidance_scale": 1.5, "guidance_interval": None,
        "eta": 0.0, "variance": "fixed-small",
    }  # fmt: skip
    assert model["T"] == 50 and model["engine"]["precision"] == "float32"


def test_alive_while_loading_ready_when_loaded_not_ready_while_draining(make_client):
    client = make_client()
    assert client.get("/healthz").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready"}
    engine = client.app.state.spirale.engine
    engine._workers[0].loaded = False
    loading = client.get("/readyz")
    total = len(engine.snapshot().keys)
    assert loading.status_code == 503 and f"loading: {total} of {total} models" in loading.json()["detail"]
    assert client.post("/sample", json={"dataset": "mnist"}).status_code == 503
    engine._workers[0].loaded = True
    engine._draining = True
    assert client.get("/readyz").status_code == 503 and "draining" in client.get("/readyz").text
    assert client.get("/healthz").status_code == 200


def test_a_stuck_engine_is_not_ready(make_client):
    client = make_client()
    engine = client.app.state.spirale.engine
    begun, release = threading.Event(), threading.Event()

    def stuck(*_) -> set[int]:
        begun.set()
        release.wait()
        return set()

    engine._workers[0]._runner.tick = stuck
    waiting = threading.Thread(target=client.post, args=("/sample",), kwargs={"json": {"dataset": "mnist"}})
    waiting.start()
    assert begun.wait(60)
    engine._workers[0].beat -= 6
    answer = client.get("/readyz")
    release.set()
    engine._workers[0].aborted = True
    waiting.join(60)
    assert answer.status_code == 503 and "not moved" in answer.text


def test_a_dead_engine_is_told_to_the_process(checkpoints):
    from fastapi.testclient import TestClient

    told = threading.Event()
    app = create_app(Settings(checkpoints=checkpoints, device="cpu"), on_death=told.set)
    with TestClient(app) as client:
        wait_until_ready(client)

        def die(*_):
            raise SystemExit

        app.state.spirale.engine._workers[0]._runner.tick = die
        assert client.post("/sample", json={"dataset": "mnist"}).status_code == 503
        assert told.wait(60)
        assert client.get("/readyz").status_code == 503


def test_an_event_loop_without_memory_is_told_to_the_process(checkpoints):
    from fastapi.testclient import TestClient

    told = threading.Event()
    app = create_app(Settings(checkpoints=checkpoints, device="cpu"), on_death=told.set)
    with TestClient(app) as client:

        async def raise_where_nobody_waits(error: Exception) -> None:
            asyncio.get_running_loop().call_exception_handler({"message": "read error", "exception": error})

        client.portal.call(raise_where_nobody_waits, ConnectionResetError())
        assert not told.is_set()
        client.portal.call(raise_where_nobody_waits, MemoryError())
        assert told.is_set()


def test_every_metric_of_the_contract_is_there_and_counts(make_client):
    client = make_client()
    client.post("/sample", json={"dataset": "mnist", "label": 1, "n": 3, "steps": 4, "guidance_scale": 2})
    client.post("/sample", json={"dataset": "mnist", "label": 99})
    client.post("/sample", json={"dataset": "<script>"})
    client.post("/sample", json={"dataset": "mnist", "steps": "many"})
    idle = 'spirale_rows_active{device="cpu"} 0.0'  # the engine counts its rows a moment after it has answered
    wait_for(lambda: idle in client.get("/metrics").text)
    text = client.get("/metrics").text
    values = dict(re.findall(r"^(spirale_\S+) (\S+)$", text, re.MULTILINE))
    assert values['spirale_requests_total{dataset="mnist",outcome="ok"}'] == "1.0"
    assert values['spirale_requests_total{dataset="mnist",outcome="invalid"}'] == "1.0"
    assert values['spirale_requests_total{dataset="unknown",outcome="invalid"}'] == "2.0"
    assert values['spirale_network_evaluations_total{device="cpu",model="mnist-tiny"}'] == str(3 * 4 * 2.0)
    assert values['spirale_tick_seconds_count{device="cpu",model="mnist-tiny"}'] == "4.0"
    assert values['spirale_batch_rows_sum{device="cpu",model="mnist-tiny"}'] == str(3 * 4.0)
    assert values['spirale_rows_queued{device="cpu"}'] == "0.0"
    for name in ("queue_seconds", "sampling_seconds"):
        assert float(values[f'spirale_{name}_count{{dataset="mnist"}}']) >= 1
    timed = {name: value for name, value in values.items() if name.startswith("spirale_request_seconds_count")}
    assert timed == {'spirale_request_seconds_count{dataset="mnist",outcome="ok"}': "1.0"}  # refusals are quick
    assert float(values["spirale_encode_seconds_count"]) == 1
    assert float(values['spirale_engine_heartbeat_age_seconds{device="cpu"}']) < 5
    for name in ("spirale_rejected_total", "spirale_cancelled_total"):
        assert f"# TYPE {name} counter" in text


def test_openapi_describes_the_answers(client):
    document = client.get("/openapi.json").json()
    post = document["paths"]["/sample"]["post"]
    assert set(post["responses"]["200"]["content"]) == {
        "application/json", "image/png", "application/zip", "application/x-npy", "text/csv", "text/event-stream"
    }  # fmt: skip
    for told in (post, document["paths"]["/v1/images/generations"]["post"]):
        assert {"X-Seed", "X-Model", "X-Unknown-Words"} <= told["responses"]["200"]["headers"].keys()
    for status in ("401", "404", "406", "413", "415", "422", "429", "500", "503", "504"):
        content = post["responses"][status]["content"]["application/problem+json"]
        assert content["schema"] == {"$ref": "#/components/schemas/ProblemBody"}
        assert content["example"]["status"] == int(status) and content["example"]["detail"]
    references = set(re.findall(r'"#/components/schemas/([^"]+)"', client.get("/openapi.json").text))
    assert references <= set(document["components"]["schemas"])
    assert client.get("/docs").status_code == 200


@pytest.mark.parametrize(
    ("fields", "accept", "answer"),
    [
        ({"dataset": "mnist", "label": 1, "n": 2}, "application/json", ImagesAnswer),
        ({"dataset": "mnist"}, "image/png", None),
        ({"dataset": "mnist"}, "application/zip", None),
        ({"dataset": "mnist"}, "application/x-npy", None),
        ({"dataset": "spiral", "sampler": "ddim"}, "application/json", PointsAnswer),
        ({"dataset": "spiral"}, "text/csv", None),
        ({"dataset": "spiral"}, "application/zip", ProblemBody),
        ({"dataset": "spiral", "n": 0}, "*/*", ProblemBody),
        ({"dataset": "cats"}, "*/*", ProblemBody),
    ],
)
def test_what_is_answered_is_what_openapi_says(client, fields, accept, answer):
    documented = client.get("/openapi.json").json()["paths"]["/sample"]["post"]["responses"]
    given = client.post("/sample", json=fields, headers={"Accept": accept})
    assert given.headers["content-type"].split(";")[0] in documented[str(given.status_code)]["content"]
    if answer is not None:
        assert set(given.json()) <= set(answer.model_fields)
        answer.model_validate(given.json())


def asked_in_vain(client, coming: list[dict]) -> list[dict]:
    """What is answered to a GET that would wait for its samples for ever, but for what comes from its client."""
    freed, messages, sent = threading.Event(), iter(coming), []

    async def stuck(job, key):
        try:
            await asyncio.Event().wait()
        finally:
            freed.set()

    client.app.state.spirale.engine.sample = stuck
    scope = {
        "type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "path": "/sample",
        "raw_path": b"/sample", "root_path": "", "query_string": b"dataset=mnist", "headers": [],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2), "state": {},
    }  # fmt: skip

    async def receive():
        await asyncio.sleep(0.05)
        return next(messages)

    async def send(message):
        sent.append(message)

    async def ask_and_leave():
        await client.app(scope, receive, send)  # raises nothing
        await asyncio.sleep(0)

    client.portal.call(ask_and_leave)
    assert freed.is_set()
    return sent


def test_a_client_that_goes_away_is_cancelled_and_no_error(make_client):
    client = make_client()
    asked_in_vain(client, [{"type": "http.request", "body": b"", "more_body": False}, {"type": "http.disconnect"}])
    assert 'spirale_requests_total{dataset="mnist",outcome="cancelled"} 1.0' in client.get("/metrics").text


def test_a_body_that_nobody_asked_for_is_too_large_in_chunks_as_well(make_client):
    client = make_client(body_limit=1024)
    start, body = asked_in_vain(client, [{"type": "http.request", "body": b" " * 600, "more_body": True}] * 2)
    assert start["status"] == 413 and b"larger than 1,024 bytes" in body["body"]
    assert 'spirale_requests_total{dataset="mnist",outcome="invalid"} 1.0' in client.get("/metrics").text


def test_a_sane_request_id_is_kept_and_another_replaced(client):
    assert client.get("/healthz", headers={"X-Request-ID": "abc-1"}).headers["x-request-id"] == "abc-1"
    assert client.get("/healthz", headers={"X-Request-ID": "a b\t<"}).headers["x-request-id"] != "a b\t<"


def test_the_log_is_not_full_of_those_who_poll(make_client):
    def told(client, path: str) -> str:
        """At which level a request of it is."""
        with capture_logs() as lines:
            client.get(path)
        (line,) = (line for line in lines if line["event"] == "request")
        return line["log_level"]

    client = make_client(api_key="sesame")
    engine = client.app.state.spirale.engine
    assert [told(client, path) for path in ("/healthz", "/readyz")] == ["debug", "debug"]
    assert [told(client, path) for path in ("/metrics", "/")] == ["info", "info"]  # of these one wants the key
    engine._workers[0].loaded = False
    assert told(client, "/readyz") == "debug"
    engine._workers[0].loaded, engine._draining = True, True
    assert told(client, "/readyz") == "info"
    assert told(make_client(ready=False), "/metrics") == "debug"


def test_nothing_to_serve_is_said_at_once(tmp_path):
    with pytest.raises(NothingToServe, match="no usable checkpoint"):
        create_app(Settings(checkpoints=tmp_path))


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_finds_nothing_to_say_about_the_metrics(client):
    client.post("/sample", json={"dataset": "mnist"})
    told = subprocess.run(["promtool", "check", "metrics"], input=client.get("/metrics").content, capture_output=True)
    assert (told.returncode, told.stderr) == (0, b"")
