"""An old field name in a recipe or a config gets an error that names the new one."""

import json

import pytest

from model.checkpoints.base import save_checkpoint
from model.checkpoints.clip import ClipConfig, load_clip
from model.checkpoints.weights import CheckpointError
from model.renamed import RENAMED
from tests.tiny import tiny_clip
from training.recipe import ClipRecipe, RecipeError, parse_recipe

CLIP = {
    "role": "clip",
    "name": "tiny-clip",
    "data": {"dataset": "mnist"},
    "network": {"kind": "image-encoder"},
    "optimisation": {"steps": 10, "warmup_steps": 2},
}


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_an_old_name_in_a_recipe_is_refused_with_the_new_one(old, new):
    assert getattr(parse_recipe(CLIP | {new: True}, "here"), new) is True
    with pytest.raises(RecipeError, match=f"here cannot be trained:\n  {old}: this field is called {new} now"):
        parse_recipe(CLIP | {old: True}, "here")


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_an_old_name_in_a_config_is_refused_with_the_new_one(tmp_path, old, new):
    clip = tiny_clip()
    save_checkpoint(tmp_path / "clip", clip.config, clip.network, clip.text)
    document = json.loads((tmp_path / "clip" / "config.json").read_text())
    document[old] = document.pop(new)
    (tmp_path / "clip" / "config.json").write_text(json.dumps(document))
    with pytest.raises(CheckpointError, match=f"clip: config.json: {old}: this field is called {new} now"):
        load_clip(tmp_path / "clip")


def test_every_new_name_is_a_field_and_no_old_one_is():
    fields = {*ClipConfig.model_fields, *ClipRecipe.model_fields}
    assert fields >= set(RENAMED.values()) and not fields & set(RENAMED)


def test_an_unknown_name_is_no_old_one():
    with pytest.raises(RecipeError, match="colour: Extra inputs are not permitted"):
        parse_recipe(CLIP | {"colour": "red"}, "here")
