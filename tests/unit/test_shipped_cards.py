"""The shipped checkpoints: a card has the figures of its config.json, and what belongs together fits."""

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file

from model.checkpoints.autoguidance import AutoguidanceConfig
from model.checkpoints.base import WEIGHTS, load_network
from model.checkpoints.classifier import ClassifierConfig
from model.checkpoints.clip import ClipConfig
from model.checkpoints.config import load_config, read_role
from model.checkpoints.control import ControlConfig
from model.checkpoints.denoiser import DenoiserConfig
from model.checkpoints.folder import read_checkpoint_folder
from model.checkpoints.judge import JudgeConfig
from model.checkpoints.roles import LOADERS
from training.card import card
from training.card.metric_descriptions import DESCRIPTIONS
from training.evaluate.measurement import settings_of
from training.recipe import ADVISORY_FIELDS, load_recipe, parse_recipe
from training.report.pipeline import read_checkpoints

CHECKPOINTS = Path(__file__).parents[2] / "checkpoints"
CONFIGS = {
    "denoiser": DenoiserConfig, "judge": JudgeConfig, "classifier": ClassifierConfig, "clip": ClipConfig,
    "control": ControlConfig, "autoguidance": AutoguidanceConfig,
}  # fmt: skip
WRITERS = {
    "denoiser": card.write_denoiser_card,
    "judge": card.write_judge_card,
    "classifier": card.write_guidance_card,
    "clip": card.write_guidance_card,
    "control": card.write_control_card,
    "autoguidance": card.write_autoguidance_card,
}
AT_LEAST = {  # of the cards' figures
    "mnist-judge": {"test_accuracy": 0.995},
    "mnist-cfg": {"label_accuracy": 0.995},
    "mnist-clip": {"accuracy at t/T = 0": 0.985},
    "mnist-text-cfg": {"digit": 0.99, "thickness": 0.8, "slant": 0.8, "thickness and slant": 0.65},
    "mnist-text-fast": {"digit": 0.99, "thickness": 0.85, "slant": 0.85, "thickness and slant": 0.72},
    "mnist-control-canny": {"agreement": 0.98, "label_accuracy": 0.985, "label_accuracy_alone": 0.97},
    "mnist-control-inpainting": {"label_accuracy": 0.99, "label_accuracy_alone": 0.89},
    "mnist-control-sketch": {"agreement": 0.9, "label_accuracy": 0.985, "label_accuracy_alone": 0.97},
    "mnist-fast": {"label_accuracy": 0.994, "precision": 0.9, "recall": 0.87},
    "mnist-fast-control-canny": {"agreement": 0.99, "label_accuracy": 0.995, "label_accuracy_alone": 0.99},
    "mnist-fast-control-sketch": {"agreement": 0.94, "label_accuracy": 0.99, "label_accuracy_alone": 0.96},
}
AT_MOST = {"mnist-cfg": {"frechet_ratio": 2.0}, "mnist-fast": {"frechet_ratio": 2.0}}

NAMES = sorted(folder.name for folder in CHECKPOINTS.iterdir() if folder.is_dir())


def _columns(config: DenoiserConfig) -> list[dict]:
    """Of samples at the card's own settings."""
    return [config.metrics[name] for name in ("measured", "bfloat16") if name in config.metrics]


@pytest.mark.parametrize("name", NAMES)
def test_a_card_is_what_its_config_says(name, tmp_path):
    folder = tmp_path / name
    shutil.copytree(CHECKPOINTS / name, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    written = (folder / "README.md").read_text()
    role = read_role(folder)
    config = load_config(folder, CONFIGS[role])
    WRITERS[role](folder, config)
    assert (folder / "README.md").read_text() == written
    assert config.name == name
    recipe = load_recipe(name)
    advice = recipe.model_dump(mode="json", include=ADVISORY_FIELDS)
    kept = {key: value for key, value in config.recipe.items() if key != "started_from"}
    assert parse_recipe(kept | advice, name) == recipe


@pytest.mark.parametrize("name", NAMES)
def test_the_hub_reads_the_header_of_a_card(name):
    config = load_config(CHECKPOINTS / name, CONFIGS[read_role(CHECKPOINTS / name)])
    data = ModelCard((CHECKPOINTS / name / "README.md").read_text()).data
    assert (data.library_name, data.license, data.model_name) == ("spirale", "mit", name)
    assert data.datasets == (["ylecun/mnist"] if config.data.dataset == "mnist" else None)
    measured = config.metrics["measured"]
    results = {result.metric_type: result.metric_value for result in data.eval_results}
    assert results and results == {metric: measured[metric] for metric in data.metrics}
    assert set(AT_LEAST.get(name, {})) & set(DESCRIPTIONS) <= set(results)


@pytest.mark.parametrize("name", NAMES)
def test_the_weights_are_those_of_the_network_that_the_config_describes(name):
    config = load_config(CHECKPOINTS / name, CONFIGS[read_role(CHECKPOINTS / name)])
    described = {key: tensor.shape for key, tensor in config.build_network().state_dict().items()}
    kept = load_file(CHECKPOINTS / name / WEIGHTS)
    assert {key: tensor.shape for key, tensor in kept.items()} == described
    network = load_network(CHECKPOINTS / name, config)
    assert all(torch.equal(tensor, kept[key]) for key, tensor in network.state_dict().items())


@pytest.mark.parametrize("name", [name for name in NAMES if "-control-" in name])
def test_the_command_of_a_control_card_sends_a_drawing_from_any_shell(name, tmp_path):
    drawing = bytes(range(256))  # of more than a line in base64
    for file in ("drawing.png", "picture.png", "mask.png"):
        (tmp_path / file).write_bytes(drawing)
    card = (CHECKPOINTS / name / "README.md").read_text()
    command = re.search(r"^curl -d (.*) localhost:8000/sample", card, re.MULTILINE)[1]
    sent = subprocess.run(["sh", "-c", f"printf %s {command}"], cwd=tmp_path, capture_output=True, check=True).stdout
    fields = ("init", "mask") if name.endswith("inpainting") else ("control",)
    assert all(base64.b64decode(json.loads(sent)[field]["image"]) == drawing for field in fields)
    assert "base64 -w" not in command  # of GNU alone


@pytest.mark.parametrize("name", sorted(AT_LEAST | AT_MOST))
def test_the_metrics_of_the_cards_are_good_enough(name):
    measured = load_config(CHECKPOINTS / name, CONFIGS[read_role(CHECKPOINTS / name)]).metrics["measured"]
    assert {key: measured[key] for key, least in AT_LEAST.get(name, {}).items() if measured[key] < least} == {}
    assert {key: measured[key] for key, most in AT_MOST.get(name, {}).items() if measured[key] > most} == {}


@pytest.mark.parametrize("name", [name for name in NAMES if read_role(CHECKPOINTS / name) == "denoiser"])
def test_a_denoiser_advises_what_its_recipe_does_and_its_card_was_measured_at(name):
    config = load_config(CHECKPOINTS / name, DenoiserConfig)
    assert load_recipe(name).sampling == config.sampling
    if config.data.kind == "images":
        assert {of["computed_in"] for of in _columns(config)} >= set(config.precisions)
        assert all(settings_of(config.sampling, None).items() <= of.items() for of in _columns(config))


def test_guidance_models_of_images_were_measured_at_their_cards_settings():
    guided = [of for of in read_checkpoints(CHECKPOINTS).guided() if of.checkpoint.config.name == "mnist-ddpm"]
    assert {pipeline.guidance_model.name for pipeline in guided} == {"mnist-classifier", "mnist-clip"}
    for pipeline in guided:
        advised = pipeline.guidance_model.overrides.applied_to(pipeline.checkpoint.config.sampling)
        assert settings_of(advised, None).items() <= pipeline.guidance_model.metrics["guiding mnist-ddpm"].items()


def test_samples_guided_by_clip_follow_their_prompts():
    guidance = load_config(CHECKPOINTS / "mnist-clip", ClipConfig).metrics["guiding mnist-ddpm"]
    assert guidance["digit"] >= 0.97 and guidance["thickness and slant"] >= 0.65


def test_a_control_was_measured_beside_what_its_base_advises():
    following = list(read_checkpoints(CHECKPOINTS).hinted())
    assert following
    for pipeline in following:
        config, sampling = pipeline.control.config, pipeline.checkpoint.config.sampling
        measured = config.metrics["measured"]
        assert settings_of(sampling, None).items() <= measured.items(), config.name
        assert measured["control_scale"] == config.control_scale
        alone = config.sampling.applied_to(sampling)
        of_alone = {f"{name}_alone": value for name, value in settings_of(alone, None).items()}
        assert of_alone.items() <= measured.items(), config.name


def test_every_guide_and_control_has_a_denoiser_that_it_fits():
    library, folder = read_checkpoints(CHECKPOINTS), read_checkpoint_folder(CHECKPOINTS, strict=True)
    guided = [*library.guided(), *library.autoguided()]
    followed = [control for control in folder.controls if any(control.fits(base) for base in folder.denoisers)]
    used = {one.guidance_model.name for one in guided} | {control.name for control in followed}
    assert used == {name for name in NAMES if read_role(CHECKPOINTS / name) in set(LOADERS) - {"denoiser"}}


@pytest.mark.parametrize("name", [name for name in NAMES if read_role(CHECKPOINTS / name) == "denoiser"])
def test_a_variance_that_was_learned_is_advised_for_ddpm_unless_they_were_compared(name):
    config = load_config(CHECKPOINTS / name, DenoiserConfig)
    learned = config.prediction.learned_variance
    if config.sampling.sampler != "ddpm":
        assert (config.sampling.variance == "learned") == learned
        assert ("ddpm with the learned variance" in (CHECKPOINTS / name / "README.md").read_text()) == learned


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("-ddpm")])
def test_a_learned_variance_pays_no_more_than_a_fixed_one(name):
    metrics = load_config(CHECKPOINTS / name, DenoiserConfig).metrics
    for chain in ("likelihood, 50 steps", "likelihood, 1000 steps"):
        of = metrics[chain]
        assert of["bits_learned"] <= min(of["bits_fixed_small"], of["bits_fixed_large"])
