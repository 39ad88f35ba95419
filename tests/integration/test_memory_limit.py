"""Several models in the room of two, in the real service."""

import pytest

from model.checkpoints.base import save_checkpoint
from service.checkpoints import model_memory
from tests.tiny import POINTS, tiny_checkpoint
from tests.waiting import wait_for

NAMES = ("a", "b", "c", "d")
ASKED = {"n": 3, "steps": 4, "seed": 7, "dataset": "spiral"}
KEY = {"Authorization": "Bearer k"}


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
    return client.post("/sample", json=ASKED | {"model": name} | fields, headers=KEY | {"Accept": "application/x-npy"})


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
    assert "found no room in memory" in answer.json()["detail"]
    assert draw(client, "a").status_code == 200
