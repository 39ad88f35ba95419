"""A checkpoint explains itself, comes back as it was, and says by name what is wrong with it."""

import json
import os
import subprocess
import sys
from operator import attrgetter
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from model.checkpoints.base import save_checkpoint
from model.checkpoints.config import load_config, save_config
from model.checkpoints.denoiser import DenoiserConfig, load_checkpoint
from model.checkpoints.weights import CheckpointError
from model.data import DataConfig, to_uint8
from tests.tiny import IMAGES, POINTS, save_tiny, tiny_checkpoint, tiny_classifier, tiny_clip, tiny_control

PROJECT = Path(__file__).parents[4]


@pytest.mark.parametrize("data", [IMAGES, POINTS])
def test_what_is_saved_comes_back_to_the_bit(tmp_path, data):
    saved = tiny_checkpoint(data)
    save_checkpoint(tmp_path / "x", saved.config, saved.network)
    loaded = load_checkpoint(tmp_path / "x")
    assert loaded.config == saved.config
    rows = (torch.randn(4, *data.shape), torch.tensor([1, 2, 30, 50]), torch.tensor([-1, 0, 1, 1]))
    assert torch.equal(loaded.network(*rows), saved.network(*rows))
    assert {path.name for path in (tmp_path / "x").iterdir()} == {"config.json", "model.safetensors"}


BETAS = {"name": "beta-linear", "T": 50}
GUIDED_UNET = {"kind": "guided-unet", "width": 32, "multiples": [1], "blocks": 1}
DIFFUSERS_UNET = {"kind": "diffusers-unet", "options": {}}
UNLABELLED = IMAGES.model_copy(update={"labels": ()}).model_dump(mode="json")


def edited(folder, change) -> None:
    document = json.loads((folder / "config.json").read_text())
    change(document)
    (folder / "config.json").write_text(json.dumps(document))


def with_weights(folder, change) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")


def too_large_for_float32(weights) -> None:
    weights["enter.weight"] = torch.full(weights["enter.weight"].shape, 1e300, dtype=torch.float64)


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda f: (f / "config.json").unlink(), "cannot read config.json"),
        (lambda f: (f / "config.json").write_text("{"), "config.json"),
        (lambda f: (f / "config.json").write_bytes(b"\xff\xfe"), "UTF-8"),
        (lambda f: edited(f, lambda d: d.update(colour="red")), "colour"),
        (lambda f: edited(f, lambda d: d.pop("schedule")), "schedule"),
        (lambda f: edited(f, lambda d: d.update(role="judge")), "its role is judge, and a denoiser is wanted here"),
        (lambda f: edited(f, lambda d: d["schedule"].update(name="linear", T=10)), "more than 20"),
        (
            lambda f: edited(f, lambda d: d.update(schedule=BETAS | {"beta_range": [0.5, 0.99], "T": 1000})),
            "only noise",
        ),
        (lambda f: edited(f, lambda d: d.update(schedule=BETAS | {"beta_range": [1e-20, 0.5]})), "only data"),
        (
            lambda f: edited(
                f, lambda d: d.update(schedule=BETAS | {"zero_terminal_snr": True}, prediction={"target": "epsilon"})
            ),
            "prediction.target is v or x0",
        ),
        (
            lambda f: edited(f, lambda d: d.update(network=GUIDED_UNET | {"null_class": 3})),
            "null_class is for diffusers",
        ),
        (lambda f: edited(f, lambda d: d.update(network=DIFFUSERS_UNET | {"null_class": 11})), "null_class is 0 … 10"),
        (
            lambda f: edited(f, lambda d: d.update(data=UNLABELLED, network=DIFFUSERS_UNET | {"null_class": 0})),
            "null_class is for diffusers' UNet with labels",
        ),
        (lambda f: edited(f, lambda d: d["sampling"].update(steps=51)), "at most T = 50"),
        (lambda f: edited(f, lambda d: d["sampling"].update(variance="learned")), "learned"),
        (lambda f: edited(f, lambda d: d.update(label_shares=[0.5, 0.5])), "one share for each of data.labels"),
        (lambda f: edited(f, lambda d: d.update(label_shares=[0.2] * 10)), "must add up to 1, not 2"),
        (lambda f: edited(f, lambda d: d.update(label_shares=[-0.1, 0.3, *[0.1] * 8])), "label_shares"),
        (lambda f: edited(f, lambda d: d.update(metrics={"measured": None})), "metrics.measured: "),
        (lambda f: edited(f, lambda d: d.update(metrics={"measured": 0.9})), "metrics.measured: "),
        (lambda f: edited(f, lambda d: d["data"].update(shape=[1, 9, 8])), "multiples of 4"),
        (lambda f: edited(f, lambda d: d["data"].update(std=[0])), "positive"),
        (lambda f: edited(f, lambda d: d["network"].update(channels=[8, 17])), "multiples of groups"),
        (lambda f: edited(f, lambda d: d["network"].update(channels=[16, 16])), "does not fit"),
        (lambda f: (f / "model.safetensors").unlink(), "model.safetensors"),
        (lambda f: (f / "model.safetensors").write_bytes(b"\x80\x04pickle"), "model.safetensors"),
        (lambda f: torch.save({}, f / "model.safetensors"), "model.safetensors"),
        (lambda f: with_weights(f, lambda w: w.pop("enter.weight")), "does not fit"),
        (lambda f: with_weights(f, lambda w: w["enter.weight"].fill_(float("nan"))), "not finite"),
        (lambda f: with_weights(f, too_large_for_float32), "not finite"),
    ],
)
def test_a_folder_that_is_no_checkpoint_is_named_and_says_why(tmp_path, harm, says):
    folder = save_tiny(tmp_path, IMAGES)
    harm(folder)
    with pytest.raises(CheckpointError, match=says) as error:
        load_checkpoint(folder)
    assert "mnist-tiny" in str(error.value)


@pytest.mark.parametrize(
    "of", [tiny_classifier(), tiny_clip(), tiny_control(tiny_checkpoint())], ids=attrgetter("name")
)
def test_what_guides_advises_no_more_steps_than_there_are(tmp_path, of):
    save_config(tmp_path, of.config)
    edited(tmp_path, lambda d: d["sampling"].update(steps=51))
    with pytest.raises(CheckpointError, match=r"sampling\.steps is at most T = 50"):
        load_config(tmp_path, type(of.config))


def test_a_schedule_that_ends_in_noise_alone_is_for_other_targets(tmp_path):
    folder = save_tiny(tmp_path, IMAGES)
    edited(folder, lambda d: d.update(schedule=BETAS | {"zero_terminal_snr": True}))
    loaded = load_checkpoint(folder)
    assert loaded.config.prediction.target == "v" and loaded.schedule.alpha_bar[-1] == 0


def test_weights_cut_short_are_noticed(tmp_path):
    weights = save_tiny(tmp_path, POINTS) / "model.safetensors"
    whole = weights.read_bytes()
    for length in (0, 7, 100, len(whole) - 1):
        weights.write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            load_checkpoint(weights.parent)


def test_weights_outlive_a_file_that_is_written_over(tmp_path):
    """In a process of its own: where the file were mapped, that would end by SIGBUS."""
    folder = save_tiny(tmp_path, POINTS)
    told = subprocess.run(
        [sys.executable, "-c", OVERWRITE, folder / "model.safetensors"], cwd=PROJECT, capture_output=True, text=True
    )
    assert (told.returncode, told.stderr) == (0, "")


OVERWRITE = """
import os, sys
from pathlib import Path
from model.checkpoints.weights import read_weights
path = Path(sys.argv[1])
weights = read_weights(path)
os.truncate(path, 10)
assert all(float(tensor.abs().sum()) > 0 for tensor in weights.values())
"""


def test_a_full_disk_leaves_the_checkpoint_that_was_there(tmp_path):
    """In a process of its own, whose files cannot grow larger than the weights are."""
    folder = save_tiny(tmp_path, IMAGES)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    told = subprocess.run([sys.executable, "-c", FILL, tmp_path], cwd=PROJECT, capture_output=True, text=True)
    assert told.returncode == 1 and "Error" in told.stderr.splitlines()[-1]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


FILL = """
import resource, sys
from pathlib import Path
from tests.tiny import IMAGES, save_tiny
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
save_tiny(Path(sys.argv[1]), IMAGES, T=40)
"""


def test_data_gets_into_the_networks_range_and_back():
    data = DataConfig(dataset="d", kind="points", shape=(3,), mean=(1.0, 2.0, 3.0), std=(1.0, 10.0, 0.5))
    rows = torch.tensor([[1.0, 12.0, 3.5]])
    assert data.standardise(rows).tolist() == [[0.0, 1.0, 1.0]]
    many = torch.randn(9, 3) * 7
    torch.testing.assert_close(data.restore(data.standardise(many)), many)


def test_pixels_are_rounded_and_kept_in_range():
    images = torch.tensor([[[[-3.0, 0.4, 0.6, 254.6, 300.0]]]])
    assert to_uint8(images).tolist() == [[[0, 0, 1, 255, 255]]]
    assert to_uint8(images.expand(2, 3, 1, 5)).shape == (2, 1, 5, 3)


def test_labels_are_written_in_utf8_whatever_the_locale(tmp_path):
    """In a process of its own: Python reads the locale once, as it starts."""
    environment = os.environ | {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    command = [sys.executable, "-c", SAVE_PLANTS, tmp_path]
    told = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, env=environment)
    assert (told.returncode, told.stderr) == (0, "")
    assert load_config(tmp_path / "plants", DenoiserConfig).data.labels == ("Blüte", "花")


SAVE_PLANTS = """
import sys
from pathlib import Path
from tests.tiny import POINTS, save_tiny
save_tiny(Path(sys.argv[1]), POINTS.model_copy(update={"labels": ("Bl\\u00fcte", "\\u82b1")}), "plants")
"""


def test_a_config_survives_json():
    config = tiny_checkpoint(IMAGES).config
    assert DenoiserConfig.model_validate_json(config.model_dump_json()) == config
