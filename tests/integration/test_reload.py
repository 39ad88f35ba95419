"""New checkpoints without a restart."""

import threading

import pytest
import torch
from structlog.testing import capture_logs

from model.checkpoints.base import save_checkpoint
from model.checkpoints.config import SamplingOverrides, save_config
from service.engine.runner import Runner
from tests.tiny import IMAGES, POINTS, save_tiny, tiny_checkpoint, tiny_classifier, tiny_control
from tests.waiting import wait_for

KEY = {"Authorization": "Bearer secret"}
SEVEN = {"dataset": "mnist", "label": 7, "seed": 3}


def save_scaled(folder, factor: float, name: str = "mnist-tiny") -> None:
    """The tiny checkpoint with other weights."""
    checkpoint = tiny_checkpoint(IMAGES, name)
    with torch.no_grad():
        for parameter in checkpoint.network.parameters():
            parameter.mul_(factor)
    save_checkpoint(folder / name, checkpoint.config, checkpoint.network)


@pytest.fixture
def folder(tmp_path):
    save_scaled(tmp_path, 1.0)
    save_tiny(tmp_path, POINTS)
    return tmp_path


@pytest.fixture
def client(folder, make_client):
    return make_client(checkpoints=folder, api_key="secret")


def draw(client, **fields) -> bytes:
    answer = client.post("/sample", json=SEVEN | fields, headers=KEY | {"Accept": "application/x-npy"})
    assert answer.status_code == 200, answer.text
    return answer.content


def reload(client) -> dict:
    answer = client.post("/admin/reload", headers=KEY)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_only_with_a_key_and_only_where_there_is_one(client, make_client):
    assert client.post("/admin/reload").status_code == 401
    assert client.post("/admin/reload", headers={"Authorization": "Bearer x"}).status_code == 401
    answer = make_client().post("/admin/reload")
    assert answer.status_code == 403 and "SIGHUP" in answer.json()["detail"]


def test_nothing_new_changes_nothing(client):
    before = draw(client)
    assert reload(client) == {"serving": ["mnist-tiny", "spiral-tiny"], "loaded": [], "removed": [], "refused": {}}
    assert draw(client) == before


def test_new_weights_are_served_and_the_old_ones_again(client, folder):
    old = draw(client)
    for factor in (1.2, 1.0, 1.2):
        save_scaled(folder, factor)
        assert reload(client)["loaded"] == ["mnist-tiny"]
        assert (draw(client) == old) == (factor == 1.0)
    engine = client.app.state.spirale.engine
    assert len(engine.snapshot().models) <= 3  # what is no longer served is let go of …
    wait_for(lambda: len(engine.snapshot().models) == 2)  # … at the engine's next look


def test_new_advice_is_given_and_loads_nothing(client, folder):
    checkpoint, classifier = tiny_checkpoint(IMAGES, "mnist-tiny"), tiny_classifier(IMAGES)
    save_checkpoint(folder / classifier.name, classifier.config, classifier.network)
    control = tiny_control(checkpoint)
    save_checkpoint(folder / control.name, control.config, control.network)
    assert reload(client)["loaded"] == ["mnist-tiny"]  # it can be guided from now on

    def advised() -> tuple:
        (model,) = client.get("/models", headers=KEY).json()["datasets"]["mnist"]["models"]
        guidance_model, controlnet = model["guidance_models"][0], model["controlnets"][0]
        return (
            model["defaults"]["steps"],
            *(guidance_model[name] for name in ("guidance_scale", "sampler", "steps")),
            *(controlnet[name] for name in ("scale", "guidance_scale", "sampler", "steps")),
        )

    before, stronger = advised(), SamplingOverrides(guidance_scale=3.5, sampler="ddpm", steps=7)
    sampling = checkpoint.config.sampling.model_copy(update={"steps": 9})
    for name, config in (
        ("mnist-tiny", checkpoint.config.model_copy(update={"sampling": sampling, "metrics": {"a": {"b": 1}}})),
        (classifier.name, classifier.config.model_copy(update={"sampling": stronger})),
        (
            control.name,
            control.config.model_copy(update={"control_scale": 1.25, "sampling": SamplingOverrides(guidance_scale=2)}),
        ),
    ):
        save_config(folder / name, config)
    assert reload(client)["loaded"] == []
    assert before[1:] == (before[1], "dpmpp-2m", 4, 0.5, 1.5, "ddim", 3)
    assert advised() == (9, 3.5, "ddpm", 7, 1.25, 2, "dpmpp-2m", 9)


def test_what_runs_ends_on_the_weights_that_it_began_with(client, folder):
    long = dict(n=64, steps=50, sampler="ddpm")
    expected = draw(client, **long)
    found = []
    asking = threading.Thread(target=lambda: found.append(draw(client, **long)))
    asking.start()
    while 'spirale_rows_active{device="cpu"} 64' not in client.get("/metrics", headers=KEY).text:
        assert asking.is_alive()
    save_scaled(folder, 1.2)
    assert reload(client)["loaded"] == ["mnist-tiny"]
    changed = draw(client, **long)
    asking.join()
    assert found == [expected] and changed != expected


def test_a_broken_one_is_refused_and_the_old_one_stays(client, folder):
    before = draw(client)
    weights = folder / "mnist-tiny" / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    with capture_logs() as lines:
        answer = reload(client)
    assert [line["log_level"] for line in lines if line["event"] == "reloaded"] == ["warning"]
    assert "cannot read model.safetensors" in answer["refused"]["mnist-tiny"]
    assert answer["serving"] == ["mnist-tiny", "spiral-tiny"] and draw(client) == before
    weights.write_bytes(whole)
    assert reload(client)["refused"] == {} and draw(client) == before


def test_one_that_cannot_be_warmed_up_is_refused_and_the_old_one_stays(client, folder, monkeypatch):
    before = draw(client)
    save_scaled(folder, 1.2)

    def broken(*_):
        raise RuntimeError("out of memory")

    runner = client.app.state.spirale.engine._workers[0]._runner
    load = runner.load
    monkeypatch.setattr(runner, "load", broken)
    answer = reload(client)
    assert answer["refused"] == {"mnist-tiny": "RuntimeError: out of memory"} and answer["loaded"] == []
    assert draw(client) == before
    monkeypatch.setattr(runner, "load", load)
    assert reload(client)["loaded"] == ["mnist-tiny"] and draw(client) != before


def test_what_is_added_is_offered_and_what_is_taken_away_is_not(client, folder):
    save_scaled(folder, 1.1, "mnist-another")
    control = tiny_control(tiny_checkpoint(IMAGES, "mnist-tiny"))
    save_checkpoint(folder / control.name, control.config, control.network)
    answer = reload(client)
    # mnist-tiny is loaded anew: from now on it follows hints.
    assert answer["loaded"] == ["mnist-another", "mnist-tiny"]
    mnist = client.get("/models", headers=KEY).json()["datasets"]["mnist"]
    assert [model["name"] for model in mnist["models"]] == ["mnist-another", "mnist-tiny"]
    assert mnist["controls"] == ["canny"] and all(model["engine"] for model in mnist["models"])
    for file in (folder / "spiral-tiny").iterdir():
        file.unlink()
    (folder / "spiral-tiny").rmdir()
    assert reload(client)["removed"] == ["spiral-tiny"]
    assert client.post("/sample", json={"dataset": "spiral"}, headers=KEY).status_code == 404


def test_an_empty_folder_takes_nothing_away(client, folder):
    before = draw(client)
    (folder / "mnist-tiny").rename(folder.parent / "aside")
    (folder / "spiral-tiny").rename(folder.parent / "aside-too")
    answer = reload(client)
    assert answer["serving"] == ["mnist-tiny", "spiral-tiny"] and answer["removed"] == []
    assert draw(client) == before


def test_a_model_that_cannot_be_made_ready_at_the_start_is_not_served(folder, make_client, monkeypatch):
    load = Runner.load

    def fails(self, key, served, *more):
        if served.name == "mnist-tiny":
            raise RuntimeError("no kernel")
        return load(self, key, served, *more)

    monkeypatch.setattr(Runner, "load", fails)
    client = make_client(checkpoints=folder)
    wait_for(lambda: "mnist" not in client.get("/models").json()["datasets"])
    answer = client.get("/sample?dataset=mnist")
    assert answer.status_code == 404 and "there are: spiral" in answer.json()["detail"]
