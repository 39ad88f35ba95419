"""A recipe that cannot be trained is refused before anything is trained, by the field's name."""

import copy
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from training.recipe import (
    RECIPES,
    ClassifierRecipe,
    DenoiserRecipe,
    JudgeRecipe,
    RecipeError,
    load_recipe,
    parse_recipe,
    recipe_names,
)
from training.tasks.classifier import ClassifierTask
from training.tasks.denoiser import DenoisingTask

PROJECT = Path(__file__).parents[3]
POINTS = {
    "name": "tiny",
    "data": {"dataset": "gaussian"},
    "network": {"kind": "mlp", "width": 16, "blocks": 1},
    "optimisation": {"steps": 10, "warmup_steps": 2},
}
JUDGE = {
    "role": "judge",
    "name": "tiny-judge",
    "data": {"dataset": "mnist"},
    "optimisation": {"steps": 10, "warmup_steps": 2},
}


def changed(field: str, value: object, document: dict = POINTS) -> dict:
    """A copy of the document with `section.field` set."""
    document = copy.deepcopy(document)
    *sections, last = field.split(".")
    place = document
    for section in sections:
        place = place.setdefault(section, {})
    place[last] = value
    return document


@pytest.mark.parametrize("name", recipe_names())
def test_shipped_recipes_are_sound_and_named_like_their_files(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.description


def test_defaults():
    recipe = parse_recipe(POINTS, "here")
    assert isinstance(recipe, DenoiserRecipe)
    assert recipe.schedule.name == "cosine"
    assert recipe.objective.label_drop == 0.1
    assert isinstance(parse_recipe(JUDGE, "here"), JudgeRecipe)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("colour", "red", "colour: Extra inputs"),
        ("optimisation.stepz", 5, "optimisation.stepz: Extra inputs"),
        ("network.depth", 5, "network.mlp.depth: Extra inputs"),
        ("optimisation.steps", 0, "optimisation.steps"),
        ("optimisation.steps", 2, "optimisation: .*warmup_steps = 2 is not less than steps = 2: .* warmup_steps = 0"),
        ("optimisation", {"steps": 400}, "warmup_steps = 500 is not less than steps = 400: .* set warmup_steps = 80"),
        ("optimisation.ema_decay", 1.0, "optimisation.ema_decay"),
        ("optimisation.learning_rate", -1.0, "optimisation.learning_rate"),
        ("objective.label_drop", 1.5, "objective.label_drop"),
        ("objective.weighting", "heavy", "objective.weighting"),
        ("data.dataset", "cifar", r"data\.built-in\.dataset: .*'cifar' is not built in .*images = .*table = "),
        ("name", "../elsewhere", "name"),
        ("prediction.target", "noise", "prediction.target"),
        ("schedule.name", "sigmoid", "schedule.name"),
        ("schedule.T", 0, "schedule.T"),
        (
            "schedule",
            {"name": "linear", "T": 1},
            "the linear schedule with T = 1 does not end in noise: .* use a larger T",
        ),
        ("sampling.steps", 2000, "sampling.steps is at most T = 1000"),
        ("sampling.sampler", "euler", "sampling.sampler"),
        ("prediction.learned_variance", True, "prediction.learned_variance"),
        ("objective.variance", "learned", "objective.variance"),
        ("objective.loss", "hybrid", "prediction.learned_variance is false"),
        ("objective.timesteps", "importance", "use it with loss = 'vlb'"),
        ("objective.wide_noise", 2.0, "wide_noise goes with stable_targets"),
        ("objective.wide_noise", 0.5, "objective.wide_noise"),
        ("objective.timestep_shift", 0.0, "objective.timestep_shift"),
        ("sampling.variance", "learned", "sampling.variance is 'learned', but prediction.learned_variance is false"),
    ],
)
def test_what_cannot_be_is_refused_by_name(field, value, says):
    with pytest.raises(RecipeError, match=says) as refused:
        parse_recipe(changed(field, value), "somewhere.toml")
    assert "somewhere.toml" in str(refused.value)


def test_wide_noise_is_for_points_and_stable_targets_are_for_all_but_text():
    stable = changed("objective.stable_targets", True)
    assert parse_recipe(stable, "here").objective.stable_targets
    images = changed("network", {"kind": "unet"}, stable)
    assert parse_recipe(images, "here").objective.stable_targets
    with pytest.raises(RecipeError, match="wide_noise is for points"):
        parse_recipe(changed("objective.wide_noise", 2.0, images), "here")
    with pytest.raises(RecipeError, match="stable_targets is for networks with labels or without"):
        parse_recipe(changed("text_from", "mnist-clip", images), "here")


def test_important_timesteps_have_no_shift():
    learned = changed("prediction.learned_variance", True, changed("objective.loss", "vlb"))
    important = changed("objective.timesteps", "importance", learned)
    assert parse_recipe(important, "here").objective.timestep_shift == 1
    with pytest.raises(RecipeError, match="leave timestep_shift out"):
        parse_recipe(changed("objective.timestep_shift", 3.0, important), "here")


CLASSIFIER = {
    "role": "classifier",
    "name": "tiny-classifier",
    "data": {"dataset": "gaussian"},
    "network": {"kind": "point-encoder"},
    "optimisation": {"steps": 10, "warmup_steps": 2},
}


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("objective", {}, "objective: Extra inputs"),
        ("network.kind", "mlp", "network: .*point-encoder"),
        ("schedule.T", 0, "schedule.T"),
        ("schedule", {"name": "linear", "T": 5}, "more than 20 timesteps"),
        ("sampling.guidance_scale", 21, "sampling.guidance_scale"),
        ("sampling.steps", 2000, "sampling.steps is at most T = 1000"),
        (
            "role",
            "oracle",
            "role: one of denoiser, judge, classifier, .*autoguidance, flow-map, control-flow-map, not 'oracle'",
        ),
    ],
)
def test_a_classifier_that_cannot_be_is_refused_by_name(field, value, says):
    assert isinstance(parse_recipe(CLASSIFIER, "here"), ClassifierRecipe)
    with pytest.raises(RecipeError, match=says):
        parse_recipe(changed(field, value, CLASSIFIER), "here")


def test_a_classifier_that_cannot_read_its_data_is_refused():
    recipe = parse_recipe(changed("network", {"kind": "image-encoder"}, CLASSIFIER), "here")
    with pytest.raises(RecipeError, match="network: image-encoder cannot read rows of the shape"):
        ClassifierTask(recipe)


def test_importance_is_of_the_bound_alone():
    document = changed("objective", {"loss": "hybrid", "timesteps": "importance"})
    document = changed("prediction", {"learned_variance": True}, document)
    with pytest.raises(RecipeError, match="measured on L_vlb alone: use it with loss = 'vlb'"):
        parse_recipe(document, "here")


def test_a_schedule_that_does_not_end_in_noise_is_refused():
    with pytest.raises(RecipeError, match=r"linear schedule .* larger T"):
        parse_recipe(changed("schedule", {"name": "linear", "T": 10}), "here")


@pytest.mark.usefixtures("mnist_files")
def test_an_image_that_cannot_be_halved_is_refused():
    document = changed("network", {"kind": "unet", "channels": [8, 16, 32, 64], "groups": 4})
    document["data"] = {"dataset": "mnist"}
    with pytest.raises(RecipeError, match=r"tiny: network: images of 28×28 cannot be halved .* multiples of 16"):
        DenoisingTask(parse_recipe(document, "here"))


@pytest.mark.usefixtures("mnist_files")
def test_channels_that_the_groups_do_not_divide_are_refused():
    document = changed("network", {"kind": "unet", "channels": [12], "groups": 8})
    document["data"] = {"dataset": "mnist"}
    with pytest.raises(RecipeError, match="multiples of groups = 8"):
        DenoisingTask(parse_recipe(document, "here"))


def test_an_unknown_recipe_is_refused_with_those_there_are():
    with pytest.raises(RecipeError, match="mnist-cfg"):
        load_recipe("nothing-like-it")


def test_a_recipe_is_read_as_utf8_whatever_the_locale(tmp_path):
    """In a process of its own: Python reads the locale once, as it starts."""
    described = RECIPES / "gaussian-ddpm.toml"
    text = re.sub("description = .*", 'description = "Blüte 花"', described.read_text(encoding="utf-8"))
    (tmp_path / "plants.toml").write_text(text, encoding="utf-8")
    command = [sys.executable, "-c", PRINT_DESCRIPTION, tmp_path / "plants.toml"]
    environment = os.environ | {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    told = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, env=environment)
    assert (told.stdout.strip(), told.stderr) == (ascii("Blüte 花"), "")


PRINT_DESCRIPTION = """
import sys
from training.recipe import load_recipe
print(ascii(load_recipe(sys.argv[1]).description))
"""


def test_a_file_that_is_no_toml_is_refused(tmp_path):
    (tmp_path / "broken.toml").write_text("name = ")
    with pytest.raises(RecipeError, match="not TOML"):
        load_recipe(str(tmp_path / "broken.toml"))


def test_weights_of_another_network_are_refused(tmp_path):
    with pytest.raises(RecipeError, match=r"--from: .*cannot read config.json"):
        DenoisingTask(parse_recipe(POINTS, "here"), tmp_path)
    narrow = DenoisingTask(parse_recipe(POINTS, "here"))
    narrow.save(narrow.network, tmp_path / "narrow")
    with pytest.raises(RecipeError, match=r"--from: narrow: .*does not fit"):
        DenoisingTask(parse_recipe(changed("network.width", 32), "here"), tmp_path / "narrow")
