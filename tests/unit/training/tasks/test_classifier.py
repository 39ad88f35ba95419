"""Classifiers of noisy rows: trained, measured, guiding."""

import json
import math

import pytest
import torch
from scipy.special import ndtr
from typer.testing import CliRunner

from model.checkpoints.base import save_checkpoint
from model.checkpoints.classifier import ClassifierConfig, load_classifier
from model.checkpoints.config import load_config
from model.checkpoints.weights import CheckpointError
from model.noise_schedule import make_schedule
from model.prediction import diffused
from tests.tiny import IMAGES, POINTS, save_tiny, tiny_checkpoint, tiny_classifier
from training.__main__ import app
from training.data.synthetic_points import GaussianMixture
from training.evaluate.command import evaluate_checkpoint, evaluate_guided
from training.evaluate.sampling_run import SamplingRun
from training.metrics.point_metrics import spread_within_labels
from training.recipe import RecipeError

CPU = torch.device("cpu")
RECIPE = """
role = "classifier"
name = "tiny-classifier"
description = "Tells two Gaussians apart"
data = { dataset = "gaussian" }
network = { kind = "point-encoder", width = 32, blocks = 1 }
schedule = { T = 50, name = "%(schedule)s" }

[optimisation]
steps = 300
batch_size = 256
learning_rate = 3e-3
warmup_steps = 10
ema_decay = 0.9
sample_every = 1000
"""


def train(folder, *arguments: str, schedule: str = "cosine"):
    (folder / "tiny.toml").write_text(RECIPE % {"schedule": schedule})
    folders = ["--checkpoints", str(folder / "checkpoints"), "--runs", str(folder / "runs")]
    return CliRunner().invoke(app, ["train", str(folder / "tiny.toml"), "--no-graph", *folders, *arguments])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier")
    result = train(folder)
    assert result.exit_code == 0, result.exception
    return folder


def test_what_is_trained_reads_nearly_all_that_can_be_read(trained):
    """Through noise, two Gaussians at distance d are told apart in Φ(√ᾱ·d/2σ_t) of the cases, and no better."""
    config = load_config(trained / "checkpoints" / "tiny-classifier", ClassifierConfig)
    schedule = make_schedule("cosine", 50)
    distance = math.dist(*GaussianMixture.means) / GaussianMixture.config.std[0]
    variance = (GaussianMixture.std / GaussianMixture.config.std[0]) ** 2
    for level in (0.1, 0.25, 0.5, 0.75):
        alpha_bar = schedule.alpha_bar[round(level * 50)]
        best = ndtr(math.sqrt(alpha_bar) * distance / 2 / math.sqrt(alpha_bar * variance + 1 - alpha_bar))
        found = config.metrics["measured"][f"accuracy at t/T = {level:g}"]
        assert best - 0.02 < found < best + 4 * math.sqrt(best * (1 - best) / 10_000) + 1e-3


def test_its_card_has_the_figures_and_the_plot(trained):
    folder = trained / "checkpoints" / "tiny-classifier"
    card = (folder / "README.md").read_text()
    assert "| accuracy at t/T = 0.25 |" in card and "](accuracy.png)" in card and "Tells two Gaussians apart" in card
    assert (folder / "accuracy.png").is_file()
    assert '"guidance": "classifier"' in card


def test_its_gradient_points_to_the_component(trained):
    classifier = load_classifier(trained / "checkpoints" / "tiny-classifier").classifier()
    config = GaussianMixture.config
    generator = torch.Generator().manual_seed(0)
    rows, _ = GaussianMixture().draw(100, generator)
    t = torch.full((100,), 25)
    x_t = diffused(config.standardise(rows), torch.randn(100, 2, generator=generator),
                   torch.full((100,), float(make_schedule("cosine", 50).alpha_bar[25])))  # fmt: skip
    toward = torch.tensor([1.0, 1.0])
    for label, sign in [(0, 1), (1, -1)]:
        gradient = classifier.gradient(x_t, t, torch.full((100,), label))
        unsure = gradient.norm(dim=1) > 0.1  # where it is sure of the label, what is left of the gradient is error
        assert unsure.sum() > 30
        assert (sign * gradient[unsure] @ toward > 0).float().mean() > 0.95


def test_a_quick_look_is_announced_and_not_written_down(trained, capsys):
    folder = trained / "checkpoints" / "tiny-classifier"
    before = (folder / "config.json").read_bytes()
    evaluate_checkpoint(folder, trained, SamplingRun(CPU), samples=50)
    assert "evaluating tiny-classifier: at most 50 held-out rows …" in capsys.readouterr().err
    assert (folder / "config.json").read_bytes() == before


def test_from_begins_with_its_weights_and_refuses_another_schedule(trained):
    result = train(trained, "--from", "tiny-classifier", "--fresh", schedule="linear")
    assert isinstance(result.exception, RecipeError)
    assert "trained with another schedule" in str(result.exception)


def test_guidance_is_measured_and_told_in_the_classifiers_card(trained, monkeypatch, capsys):
    monkeypatch.setattr("training.evaluate.command.options.POINTS", 40)
    unconditional = GaussianMixture.config.model_copy(update={"labels": ()})
    denoiser = save_tiny(trained / "checkpoints", unconditional, name="gaussian-tiny")
    classifier = trained / "checkpoints" / "tiny-classifier"
    metrics = evaluate_guided(denoiser, classifier, trained / "checkpoints", SamplingRun(CPU))
    assert (metrics["guidance_model"], metrics["guidance_scale"], metrics["samples"]) == ("tiny-classifier", 1.0, 40)
    assert "label_accuracy" in metrics and "spread" in metrics
    config = load_config(classifier, ClassifierConfig)
    assert json.loads(json.dumps(metrics)) == config.metrics["guiding gaussian-tiny"]
    assert "measured" in config.metrics and "guiding gaussian-tiny" in (classifier / "README.md").read_text()
    assert "evaluating gaussian-tiny, guided by tiny-classifier: 40 samples …" in capsys.readouterr().err
    off = evaluate_guided(denoiser, classifier, trained, SamplingRun(CPU), changed={"guidance_scale": 0.0})
    assert "label_accuracy" not in off
    assert load_config(classifier, ClassifierConfig) == config


def test_a_classifier_that_does_not_fit_is_refused(trained):
    denoiser = save_tiny(trained / "other", POINTS)
    with pytest.raises(RecipeError, match="other data or another schedule than spiral-tiny"):
        evaluate_guided(denoiser, trained / "checkpoints" / "tiny-classifier", trained, SamplingRun(CPU))


@pytest.mark.parametrize(
    ("changed", "fits"),
    [
        ({}, True),
        ({"labels": ()}, True),  # an unconditional denoiser takes any labels
        ({"labels": tuple("abcdefghij")}, False),
        ({"std": (100.0,)}, False),
        ({"dataset": "letters"}, False),
    ],
)
def test_it_fits_denoisers_of_the_same_rows_noise_and_labels(changed, fits):
    assert tiny_classifier(IMAGES).fits(tiny_checkpoint(IMAGES.model_copy(update=changed)).config) is fits
    assert not tiny_classifier(IMAGES).fits(tiny_checkpoint(IMAGES, T=40).config)


def test_evaluate_says_what_does_not_go_with_a_classifier(trained):
    folder = trained / "checkpoints" / "tiny-classifier"
    with pytest.raises(RecipeError, match="is a classifier: it draws no samples"):
        evaluate_checkpoint(folder, trained, SamplingRun(CPU), changed={"steps": 3})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c | {"network": c["network"] | {"channels": [8, 14]}}, "multiples of groups"),
        (lambda c: c | {"network": {"kind": "point-encoder"}}, "cannot read rows of the shape"),
        (lambda c: c | {"schedule": {"name": "linear", "T": 5}}, "more than 20 timesteps"),
        (lambda c: c | {"role": "oracle"}, "role"),
    ],
)
def test_a_classifier_folder_that_is_broken_is_named(tmp_path, change, says):
    classifier = tiny_classifier(IMAGES)
    save_checkpoint(tmp_path, classifier.config, classifier.network)
    document = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(change(document)))
    with pytest.raises(CheckpointError, match=says):
        load_classifier(tmp_path)


def test_spread_is_that_of_each_label_around_its_own_mean():
    generator = torch.Generator().manual_seed(0)
    real, labels = GaussianMixture().draw(4_000, generator)
    means = torch.tensor(GaussianMixture.means)[labels]
    assert spread_within_labels(means + 0.5 * (real - means) + 3, labels, real, labels) == pytest.approx(0.5, abs=1e-3)
