"""Weak networks: trained as their base was, bound to its weights, measured beside it."""

import json

import pytest
import torch
from typer.testing import CliRunner

from model.checkpoints.autoguidance import AutoguidanceConfig, load_autoguidance
from model.checkpoints.base import save_checkpoint
from model.checkpoints.config import load_config
from model.checkpoints.denoiser import load_checkpoint
from tests.folders import make_table
from tests.tiny import POINTS, save_tiny, tiny_checkpoint
from training.__main__ import app
from training.data import DATA_IDENTITY, training_set
from training.data.data_section import section_of
from training.data.synthetic_points import Spiral
from training.evaluate.command import evaluate_checkpoint, evaluate_guided
from training.evaluate.sampling_run import SamplingRun
from training.recipe import RecipeError, load_recipe
from training.tasks.registry import make_task

CPU = torch.device("cpu")
UNLABELLED = Spiral.config.model_copy(update={"labels": ()})
RECIPE = """
role = "autoguidance"
name = "tiny-weak"
description = "Weaker"
base = "%(base)s"
network = { kind = "mlp", width = 8, blocks = 1 }
sampling = { guidance_scale = 1.5, sampler = "ddim", steps = 3 }

[optimisation]
steps = 5
batch_size = 64
learning_rate = 3e-3
warmup_steps = 1
ema_decay = 0.5
sample_every = 1000
"""


def train(folder, *arguments: str, base: str = "spiral-tiny"):
    (folder / "tiny.toml").write_text(RECIPE % {"base": base})
    folders = ["--checkpoints", str(folder / "checkpoints"), "--runs", str(folder / "runs"), "--no-evaluate"]
    return CliRunner().invoke(app, ["train", str(folder / "tiny.toml"), "--no-graph", *folders, *arguments])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("autoguidance")
    save_tiny(folder / "checkpoints", UNLABELLED, learned_variance=True)
    result = train(folder)
    assert result.exit_code == 0, result.exception
    return folder


def test_what_is_trained_fits_its_base_and_takes_over_all_but_the_network(trained):
    weak = load_autoguidance(trained / "checkpoints" / "tiny-weak")
    base = load_checkpoint(trained / "checkpoints" / "spiral-tiny")
    assert weak.fits(base)
    for field in ("data", "schedule", "prediction"):
        assert getattr(weak.config, field) == getattr(base.config, field)
    task = make_task(load_recipe(str(trained / "tiny.toml")), trained / "checkpoints")
    before = task.network.state_dict()
    assert before.keys() == weak.network.state_dict().keys()
    assert not all(torch.equal(before[name], tensor) for name, tensor in weak.network.state_dict().items())
    assert task._trained_as_base.recipe.objective.loss == "hybrid"  # the base has learned a variance


def test_it_is_measured_beside_its_base_and_its_card_tells(trained, monkeypatch, capsys):
    monkeypatch.setattr("training.evaluate.command.options.POINTS", 40)
    folder, run = trained / "checkpoints" / "tiny-weak", SamplingRun(CPU)
    metrics = evaluate_checkpoint(folder, trained / "checkpoints", run)
    assert (metrics["guidance_model"], metrics["guidance_scale"], metrics["sampler"]) == ("tiny-weak", 1.5, "ddim")
    assert "label_accuracy" not in metrics
    config = load_config(folder, AutoguidanceConfig)
    assert json.loads(json.dumps(metrics)) == config.metrics["measured"]
    card = (folder / "README.md").read_text()
    assert '"guidance": "auto"' in card and "](points.png)" in card and "spiral-tiny, only with the weights" in card
    assert "evaluating spiral-tiny, guided by tiny-weak: 40 samples …" in capsys.readouterr().err

    base = trained / "checkpoints" / "spiral-tiny"
    off = evaluate_guided(base, folder, trained, run, samples=30, changed={"guidance_scale": 1.0})
    plain = evaluate_checkpoint(base, trained, run, samples=30, changed={"sampler": "ddim", "steps": 3})
    assert off["sliced_wasserstein"] == plain["sliced_wasserstein"]  # at scale 1 the samples are the base's
    assert load_config(folder, AutoguidanceConfig) == config


def test_other_weights_of_the_base_are_refused(trained):
    other = save_tiny(trained / "other", UNLABELLED, T=40)
    with pytest.raises(RecipeError, match="trained for other weights than spiral-tiny"):
        evaluate_guided(other, trained / "checkpoints" / "tiny-weak", trained, SamplingRun(CPU))


def test_data_that_have_changed_and_a_base_that_is_not_there_are_named(trained):
    save_tiny(
        trained / "checkpoints", POINTS.model_copy(update={"labels": ("one", "two", "three", "four")}), name="old"
    )
    changed = train(trained, base="old")
    assert "the data have changed since old was trained" in str(changed.exception)
    missing = train(trained, base="nowhere")
    assert "base: nowhere" in str(missing.exception)


def test_rows_that_have_changed_are_named_though_they_have_the_same_columns(tmp_path):
    section = {"dataset": "own", "table": str(make_table(tmp_path / "own.csv", 60)), "label": "kind"}
    data = training_set(section_of(section))
    made = tiny_checkpoint(data.config, name="own")
    for identity, whole in ((data.real.identity, True), ("others", False)):
        recipe = {"data": section, DATA_IDENTITY: identity}
        save_checkpoint(
            tmp_path / "checkpoints" / "own", made.config.model_copy(update={"recipe": recipe}), made.network
        )
        found = train(tmp_path, base="own")
        assert (found.exit_code == 0) == whole
    assert "base: the data have changed since own was trained on them" in str(found.exception)


def test_weights_to_begin_with_that_do_not_fit_are_named(trained):
    found = train(trained, "--from", "spiral-tiny", "--fresh")
    assert str(found.exception).startswith("--from: ") and "base" not in str(found.exception)


def test_the_shipped_recipe_is_a_smaller_network_trained_for_less_long():
    weak, base = load_recipe("mnist-ddpm-weak"), load_recipe("mnist-ddpm")
    assert weak.base == base.name
    assert [2 * channels for channels in weak.network.channels] == list(base.network.channels)
    assert weak.optimisation.steps * 8 < base.optimisation.steps
