"""`--log-with`: a tracker gets what log.jsonl has."""

import json
import struct

import pytest
from accelerate.state import AcceleratorState
from tensorboardX.proto.event_pb2 import Event
from typer.testing import CliRunner

from tests.unit.training.test_trainer import RECIPE
from training import tracking
from training.__main__ import app
from training.learning_rate import learning_rate
from training.recipe import RecipeError, load_recipe


def trained(tmp_path, *options):
    (tmp_path / "tiny.toml").write_text(RECIPE % {"steps": 12, "learning_rate": "1e-2", "save_every": 4})
    folders = ["--checkpoints", tmp_path / "checkpoints", "--runs", tmp_path / "runs", "--no-evaluate", "--no-graph"]
    arguments = ["train", tmp_path / "tiny.toml", *folders, *options]
    return CliRunner().invoke(app, list(map(str, arguments)))


def scalars(path):
    """(step, name, value) of every scalar in TensorBoard's file: a record is length, checksum, bytes, checksum."""
    content, at = path.read_bytes(), 0
    while at < len(content):
        (length,) = struct.unpack_from("<Q", content, at)
        event = Event.FromString(content[at + 12 : at + 12 + length])
        yield from ((event.step, one.tag, one.simple_value) for one in event.summary.value)
        at += 16 + length


def test_tensorboard_gets_the_curves_of_the_log(tmp_path):
    assert trained(tmp_path, "--log-with", "tensorboard").exit_code == 0
    run = tmp_path / "runs" / "tiny"
    (events,) = run.glob("events.out.tfevents.*")
    found = {(step, name): value for step, name, value in scalars(events)}
    entries = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in entries] == [4, 8, 12]
    for entry in entries:
        assert found.pop((entry["step"], "loss")) == pytest.approx(entry["loss"])
        assert found.pop((entry["step"], "images_per_second")) == pytest.approx(entry["images_per_second"])
    options = load_recipe(tmp_path / "tiny.toml").optimisation
    rates = {(step, "learning_rate"): learning_rate(options, step - 1) for step in (4, 8, 12)}
    assert found == pytest.approx(rates)


@pytest.mark.parametrize("tracker", tracking.PACKAGES)
def test_a_missing_package_is_named_and_leaves_nothing(tracker, tmp_path, monkeypatch):
    monkeypatch.setattr(tracking, "find_spec", lambda _: None)
    result = trained(tmp_path, "--log-with", tracker)
    assert isinstance(result.exception, RecipeError)
    assert f"--log-with {tracker} needs a package: pip install {tracker}" in str(result.exception)
    assert not (tmp_path / "runs").exists()


def test_the_recipe_says_the_precision_and_not_what_launches_the_training(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")  # as `accelerate launch` sets it
    AcceleratorState._reset_state()
    try:
        assert tracking.tracking_accelerator(tmp_path, "none").mixed_precision == "no"
    finally:
        AcceleratorState._reset_state()
