"""What is in a folder of checkpoints, and what is refused."""

import shutil
from pathlib import Path

import pytest

from model.checkpoints.base import save_checkpoint
from model.checkpoints.folder import CheckpointFolder, read_checkpoint_folder
from model.checkpoints.judge import JudgeConfig, JudgeNetwork
from model.checkpoints.weights import CheckpointError
from tests.tiny import IMAGES, POINTS, save_tiny, tiny_checkpoint, tiny_classifier, tiny_clip, tiny_control


def save(folder, *checkpoints) -> None:
    for one in checkpoints:
        save_checkpoint(folder / one.config.name, one.config, one.network, getattr(one, "text", None))


def test_everything_but_judges_is_loaded_by_its_role(tmp_path):
    base = tiny_checkpoint(name="mnist-base")
    save(tmp_path, base, tiny_classifier(), tiny_clip(), tiny_control(base))
    judge = JudgeConfig(name="judge", data=IMAGES, width=8, features=8)
    save_checkpoint(tmp_path / "judge", judge, JudgeNetwork(judge))
    (tmp_path / "notes.txt").write_text("no folder")
    folder = read_checkpoint_folder(tmp_path, strict=True)
    assert [one.name for one in folder.denoisers] == ["mnist-base"]
    assert [one.name for one in folder.guidance_models] == ["mnist-classifier", "mnist-clip"]
    assert [one.name for one in folder.controls] == ["mnist-control-canny"]
    assert len(folder.loaded) == 4 and folder.refused == {}


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda folder: (folder / "config.json").unlink(), "cannot read config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"\x80\x04"), "cannot read model.safetensors"),
    ],
)
def test_a_broken_checkpoint_is_refused_or_raises(tmp_path, harm, says):
    save_tiny(tmp_path, POINTS)
    harm(save_tiny(tmp_path, IMAGES))
    folder = read_checkpoint_folder(tmp_path, strict=False)
    assert list(folder.loaded) == ["spiral-tiny"]
    assert list(folder.refused) == ["mnist-tiny"] and says in folder.refused["mnist-tiny"]
    with pytest.raises(CheckpointError, match=says):
        read_checkpoint_folder(tmp_path, strict=True)


def test_whatever_a_checkpoint_raises_the_others_are_loaded(tmp_path, monkeypatch):
    save_tiny(tmp_path, POINTS)
    save_tiny(tmp_path, IMAGES)

    def load(folder):
        raise MemoryError("too large")

    monkeypatch.setattr("model.checkpoints.folder.LOADERS", {"denoiser": load})
    folder = read_checkpoint_folder(tmp_path, strict=False)
    assert folder.refused == {name: f"{name}: MemoryError: too large" for name in ("mnist-tiny", "spiral-tiny")}


@pytest.mark.parametrize("copy", ["a-copy", "zz-copy"])
def test_a_copy_does_not_take_the_place_of_the_original(tmp_path, copy):
    save_tiny(tmp_path / "other", POINTS, steps=9).rename(tmp_path / copy)
    save_tiny(tmp_path, POINTS, steps=7)
    (tmp_path / "other").rmdir()
    folder = read_checkpoint_folder(tmp_path, strict=False)
    assert [one.config.sampling.steps for one in folder.loaded.values()] == [7]
    assert list(folder.refused) == [copy] and "spiral-tiny" in folder.refused[copy]


def test_the_first_of_two_copies_is_loaded(tmp_path):
    for copy, steps in (("b", 9), ("a", 7)):
        save_tiny(tmp_path, POINTS, steps=steps).rename(tmp_path / copy)
    folder = read_checkpoint_folder(tmp_path, strict=False)
    assert folder.loaded["spiral-tiny"].config.sampling.steps == 7
    assert folder.refused == {"b": "its config.json calls it spiral-tiny, as that of a does"}
    with pytest.raises(CheckpointError, match=r"a: its config.json calls it spiral-tiny: rename either"):
        read_checkpoint_folder(tmp_path, strict=True)


def reloaded(folder: Path, before: CheckpointFolder, **failed: str) -> CheckpointFolder:
    """What is there now, after `before` was."""
    return read_checkpoint_folder(folder, strict=False).refusing(failed, instead=before)


def break_(folder) -> None:
    (folder / "model.safetensors").write_bytes(b"")


def test_what_a_broken_folder_served_stays_whatever_its_name(tmp_path):
    save_tiny(tmp_path, POINTS).rename(tmp_path / "foo")
    before = read_checkpoint_folder(tmp_path, strict=False)
    break_(tmp_path / "foo")
    after = reloaded(tmp_path, before)
    assert after.loaded == before.loaded and list(after.loaded) == ["spiral-tiny"] and list(after.refused) == ["foo"]
    assert reloaded(tmp_path, after).loaded == before.loaded  # … and also after the next time


def test_a_refused_folder_takes_no_checkpoint_of_that_name_away(tmp_path):
    save_tiny(tmp_path, POINTS, name="b")
    save_tiny(tmp_path, POINTS, name="a").rename(tmp_path / "x")
    before = read_checkpoint_folder(tmp_path, strict=False)
    save_tiny(tmp_path / "other", POINTS, name="b").rename(tmp_path / "a")  # a folder `a` that is no `a`
    after = reloaded(tmp_path, before)
    assert sorted(after.loaded) == ["a", "b"] and after.folders == {"a": "x", "b": "b"}
    assert after.loaded["a"] is not before.loaded["a"] and "a" in after.refused


def test_the_old_one_stays_before_a_copy_and_makes_way_for_the_folder_of_its_name(tmp_path):
    def steps(folder):
        return folder.loaded["spiral-tiny"].config.sampling.steps

    save_tiny(tmp_path, POINTS, steps=7)
    save_tiny(tmp_path / "other", POINTS, steps=9).rename(tmp_path / "copy")
    before = read_checkpoint_folder(tmp_path, strict=False)
    break_(tmp_path / "spiral-tiny")
    broken = reloaded(tmp_path, before)
    assert steps(broken) == 7 and broken.folders == {"spiral-tiny": "spiral-tiny"}
    shutil.rmtree(tmp_path / "spiral-tiny")
    moved = reloaded(tmp_path, broken)
    assert steps(moved) == 9 and moved.folders == {"spiral-tiny": "copy"}
    save_tiny(tmp_path, POINTS, steps=5)
    assert steps(reloaded(tmp_path, moved)) == 5


def test_one_that_failed_is_refused_by_its_folder_and_the_old_one_of_its_name_stays(tmp_path):
    save_tiny(tmp_path, POINTS).rename(tmp_path / "foo")
    before = read_checkpoint_folder(tmp_path, strict=False)
    after = reloaded(tmp_path, before, **{"spiral-tiny": "cold"})
    assert after.loaded == before.loaded and after.refused == {"foo": "cold"}


def test_a_control_without_its_denoiser_s_weights_is_told_apart(tmp_path):
    base = tiny_checkpoint(name="mnist-base")
    save(tmp_path, base, tiny_control(base))
    assert read_checkpoint_folder(tmp_path, strict=True).without_base() == []
    retrained = tiny_checkpoint(name="mnist-base", learned_variance=True)
    save(tmp_path, retrained)
    folder = read_checkpoint_folder(tmp_path, strict=True)
    assert [one.name for one in folder.without_base()] == ["mnist-control-canny"]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"nowhere cannot be read: No such file"):
        read_checkpoint_folder(tmp_path / "nowhere", strict=False)
