"""Several models in the room of two, in the real service."""

import base64
import io

import pytest
from PIL import Image

from model.checkpoints.base import save_checkpoint
from model.checkpoints.judge import JudgeConfig
from service.checkpoints import model_memory
from tests.cores import TWO, needs_two_cores
from tests.tiny import IMAGES, POINTS, tiny_checkpoint, tiny_classifier, tiny_control
from tests.waiting import wait_for

NAMES = ("a", "b", "c", "d")
ASKED = {"n": 3, "steps": 4, "seed": 7, "dataset": "spiral"}
KEY = {"Authorization": "Bearer k"}
NPY = {"Accept": "application/x-npy"}


def save(folder, name: str, factor: float = 1.0) -> None:
    one = tiny_checkpoint(POINTS, name)
    for parameter in one.network.parameters():
        parameter.data *= factor + NAMES.index(name) / 10
    save_checkpoint(folder / name, one.config, one.network)


@pytest.fixture
def folder(tmp_path):
    for name in NAMES:
        save(tmp_path, name)
    return tmp_path


@pytest.fixture
def client(folder, make_client, monkeypatch):
    """Of a service that holds two of four. Weights alone count."""
    monkeypatch.setattr(model_memory, "allocated_bytes", lambda: 0)
    limit = round(2.5 * tiny_checkpoint(POINTS).weight_bytes)
    return make_client(checkpoints=folder, memory_limit=limit, api_key="k", deadline_seconds=20)


def draw(client, name: str, **fields):
    return client.post("/sample", json=ASKED | {"model": name} | fields, headers=KEY | NPY)


def loaded(client) -> list[str]:
    models = client.get("/models", headers=KEY).json()["datasets"]["spiral"]["models"]
    assert all(one["loaded"] == (one["engine"] is not None) for one in models)
    return [one["name"] for one in models if one["loaded"]]


def test_all_are_served_with_the_bytes_that_they_have_without_a_limit(client, folder, make_client):
    wait_for(lambda: loaded(client) == ["a", "b"])
    unlimited = make_client(checkpoints=folder, api_key="k")
    for name in (*NAMES, *NAMES):
        found = draw(client, name)
        assert found.status_code == 200, found.text
        assert found.content == draw(unlimited, name).content
        assert len(loaded(client)) <= 2 and name in loaded(client)
    text = client.get("/metrics", headers=KEY).text
    values = dict(line.split(" ") for line in text.splitlines() if line.startswith("spirale_model"))
    assert values["spirale_models_loaded"] == "2.0"
    assert float(values["spirale_model_bytes"]) == 2 * tiny_checkpoint(POINTS).weight_bytes
    assert float(values["spirale_model_loads_total"]) >= 7 and float(values["spirale_model_evictions_total"]) >= 6


@needs_two_cores
def test_several_devices_hold_a_model_each_and_let_go_of_it_together(folder, make_client, monkeypatch):
    monkeypatch.setattr(model_memory, "allocated_bytes", lambda: 0)
    limit = round(2.5 * tiny_checkpoint(POINTS).weight_bytes)
    client = make_client(checkpoints=folder, memory_limit=limit, api_key="k", device=TWO)
    unlimited = make_client(checkpoints=folder, api_key="k")
    workers = client.app.state.spirale.engine._workers
    assert len(workers) == 2
    for name in (*NAMES, "a"):
        assert draw(client, name).content == draw(unlimited, name).content
        kept = [{model.name for model in worker.models.values()} for worker in workers]
        assert kept[0] == kept[1] == set(loaded(client)) and len(kept[0]) <= 2
    assert client.post("/admin/reload", headers=KEY).json()["loaded"] == []
    assert draw(client, "b").status_code == 200


def test_what_goes_with_a_model_is_loaded_and_unloaded_with_it(tmp_path, make_client, monkeypatch):
    """A classifier and ControlNets of two models that share the classifier; a judge, which is never served."""
    monkeypatch.setattr(model_memory, "allocated_bytes", lambda: 0)
    base, other = tiny_checkpoint(IMAGES), tiny_checkpoint(IMAGES, "mnist-other")
    judge = JudgeConfig(name="mnist-judge", data=IMAGES, width=8, features=4)
    controls = (tiny_control(base), tiny_control(other, "sketch", "mnist-sketch"))
    for one in (base, other, tiny_checkpoint(POINTS), tiny_classifier(IMAGES), *controls):
        save_checkpoint(tmp_path / one.config.name, one.config, one.network)
    save_checkpoint(tmp_path / judge.name, judge, judge.build_network())
    client = make_client(checkpoints=tmp_path, memory_limit=1000, api_key="k")
    unlimited = make_client(checkpoints=tmp_path, api_key="k")
    labelled = {"dataset": "mnist", "label": 7, "steps": 2, "seed": 1}
    guided = [labelled | {"guidance": "classifier", "model": one.config.name} for one in (base, other)]
    picture = io.BytesIO()
    stroke = Image.new("L", (8, 8), 0)
    stroke.paste(255, (3, 1, 5, 7))
    stroke.save(picture, "PNG")
    drawn = base64.b64encode(picture.getvalue()).decode()
    hinted = [labelled | {"control": {"kind": kind, "image": drawn}} for kind in ("canny", "sketch")]
    for asked in (*guided, ASKED, *hinted, ASKED, *guided):
        answers = [one.post("/sample", json=asked, headers=KEY | NPY) for one in (client, unlimited)]
        assert [answer.status_code for answer in answers] == [200, 200], answers[0].text
        assert answers[0].content == answers[1].content
        assert len(client.app.state.spirale.memory._loaded) == 1  # larger than the limit, so alone


def test_streams_and_jobs_hold_their_model_until_they_are_done(client):
    with client.stream(
        "POST", "/sample", json=ASKED | {"model": "c"}, headers=KEY | {"Accept": "text/event-stream"}
    ) as answer:
        assert answer.status_code == 200
        assert b"event: result" in answer.read()
    accepted = client.post("/jobs", json={"dataset": "spiral", "model": "d", "n": 100, "format": "npy"}, headers=KEY)
    assert accepted.status_code == 202, accepted.text
    place = accepted.headers["location"]
    for name in NAMES:
        assert draw(client, name).status_code == 200
    wait_for(lambda: client.get(place, headers=KEY).json()["state"] == "done")
    memory = client.app.state.spirale.memory
    wait_for(lambda: not any(one.users for one in memory._loaded.values()))


def test_weights_that_changed_are_not_served_as_the_old_ones(client, folder):
    save(folder, "d", 1.5)
    answer = draw(client, "d")
    assert answer.status_code == 503 and "d: it has changed since it was read" in answer.json()["detail"]
    assert int(answer.headers["retry-after"]) > 0
    assert client.post("/admin/reload", headers=KEY).json()["loaded"] == ["d"]
    assert draw(client, "d").status_code == 200


def test_a_reload_replaces_what_is_in_memory(client, folder):
    wait_for(lambda: loaded(client) == ["a", "b"])
    before = draw(client, "a").content
    save(folder, "a", 1.5)
    (folder / "c" / "model.safetensors").write_bytes(b"broken")
    (folder / "d" / "config.json").unlink()
    report = client.post("/admin/reload", headers=KEY).json()
    assert report["loaded"] == ["a"] and set(report["refused"]) >= {"c"}
    assert draw(client, "a").content != before
    assert draw(client, "b").status_code == 200


def test_a_model_in_use_is_waited_for_then_refused(client, monkeypatch):
    state = client.app.state.spirale
    wait_for(lambda: loaded(client) == ["a", "b"])
    monkeypatch.setattr(state.memory, "_deadline", 0.05)
    for name in ("a", "b"):
        state.memory._loaded[state.catalog.served[name].key].users += 1
    answer = draw(client, "c")
    assert answer.status_code == 503 and int(answer.headers["retry-after"]) > 0, answer.text
    assert "did not come into memory" in answer.json()["detail"]
    assert draw(client, "a").status_code == 200
