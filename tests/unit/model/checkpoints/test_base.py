"""What every kind of checkpoint has in common: its config.json, its loading, and copies of its network."""

import json

import pytest
import torch

from model.checkpoints.autoguidance import load_autoguidance
from model.checkpoints.base import save_checkpoint
from model.checkpoints.classifier import load_classifier
from model.checkpoints.clip import load_clip
from model.checkpoints.config import SamplingConfig, SamplingOverrides
from model.checkpoints.control import load_control
from model.checkpoints.denoiser import load_checkpoint
from model.checkpoints.judge import JudgeConfig, JudgeNetwork, load_judge
from model.checkpoints.schedule_config import ScheduleConfig
from model.checkpoints.weights import CheckpointError
from model.noise_schedule import make_schedule
from tests.tiny import (
    tiny_autoguidance,
    tiny_checkpoint,
    tiny_classifier,
    tiny_clip,
    tiny_control,
    tiny_text_checkpoint,
)

KINDS = {
    "denoiser": (tiny_checkpoint, load_checkpoint),
    "text-denoiser": (tiny_text_checkpoint, load_checkpoint),
    "classifier": (tiny_classifier, load_classifier),
    "clip": (tiny_clip, load_clip),
    "control": (lambda: tiny_control(tiny_checkpoint()), load_control),
    "autoguidance": (lambda: tiny_autoguidance(tiny_checkpoint()), load_autoguidance),
}
every_kind = pytest.mark.parametrize(("make", "load"), KINDS.values(), ids=KINDS)


def saved(made, folder):
    save_checkpoint(folder, made.config, made.network, getattr(made, "text", None))
    return folder


@every_kind
def test_every_kind_comes_back_with_its_config_schedule_and_weights(tmp_path, make, load):
    made = make()
    loaded = load(saved(made, tmp_path / "x"))
    assert loaded.config == made.config and type(loaded) is type(made)
    assert (loaded.schedule.alpha_bar == made.schedule.alpha_bar).all()
    ours, theirs = made.network.state_dict(), loaded.network.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert not loaded.network.training


@every_kind
def test_the_recipe_and_the_metrics_end_a_config(tmp_path, make, load):
    document = json.loads((saved(make(), tmp_path / "x") / "config.json").read_text())
    assert list(document)[:4] == ["format", "role", "name", "data"]
    assert list(document)[-2:] == ["recipe", "metrics"]


@every_kind
def test_every_kind_names_the_field_that_is_wrong(tmp_path, make, load):
    folder = saved(make(), tmp_path / "x")
    document = json.loads((folder / "config.json").read_text())
    for change, says in (
        ({"schedule": {"name": "linear", "T": 10}}, "x: config.json: schedule.linear: .*more than 20"),
        ({"name": "../x"}, "x: config.json: name: "),
        ({"format": 2}, "x: config.json: format: "),
        ({"role": "oracle"}, "x: its role is oracle, and a .* is wanted here"),
        ({"colour": "red"}, "x: config.json: .*colour: "),
    ):
        (folder / "config.json").write_text(json.dumps(document | change))
        with pytest.raises(CheckpointError, match=says):
            load(folder)


@every_kind
def test_a_copy_of_the_network_is_its_own_and_for_inference(make, load):
    made = make()
    before = {name: weights.clone() for name, weights in made.network.state_dict().items()}
    copy = made.network_on("cpu", "bfloat16")
    assert {parameter.dtype for parameter in copy.parameters()} == {torch.bfloat16}
    assert not copy.training and not any(parameter.requires_grad for parameter in copy.parameters())
    for parameter in copy.parameters():
        parameter.zero_()
    after = made.network.state_dict()
    assert all(torch.equal(after[name], weights) for name, weights in before.items())


@every_kind
def test_a_checkpoint_s_weights_are_hashed_once(make, load, monkeypatch):
    made, hashed = make(), []
    monkeypatch.setattr("model.checkpoints.base.fingerprint", lambda network: hashed.append(network) or "0" * 16)
    assert {made.fingerprint for _ in range(3)} == {"0" * 16} and len({made.identity for _ in range(3)}) == 1
    assert hashed == [made.network]


def test_a_schedule_is_built_as_its_config_names_it():
    assert (ScheduleConfig(name="linear", T=1000).build().alpha_bar == make_schedule("linear", 1000).alpha_bar).all()


def test_a_judge_that_its_config_does_not_allow_says_why(tmp_path):
    data = tiny_checkpoint().config.data
    config = JudgeConfig(name="judge", data=data, width=8, features=8)
    save_checkpoint(tmp_path, config, JudgeNetwork(config))
    document = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(document | {"width": 12}))
    with pytest.raises(CheckpointError, match=r"config.json: num_channels .* must be divisible by num_groups"):
        load_judge(tmp_path)


def test_an_overridden_scale_comes_with_its_own_interval():
    sampling = SamplingConfig(steps=7, guidance_scale=2.0, guidance_interval=(0.2, 3.0))
    assert SamplingOverrides(guidance_scale=4.0).applied_to(sampling) == SamplingConfig(steps=7, guidance_scale=4.0)
    within = SamplingOverrides(guidance_scale=4.0, steps=3, guidance_interval=(0.0, 1.0)).applied_to(sampling)
    assert within == SamplingConfig(steps=3, guidance_scale=4.0, guidance_interval=(0.0, 1.0))
