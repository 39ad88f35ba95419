"""Two trainings of one name, full disks and folders that cannot be written: one sentence, before the first step."""

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from accelerate import Accelerator
from typer.testing import CliRunner

from tests.folders import make_folder, make_table
from tests.unit.training.test_trainer import RECIPE
from training.__main__ import app, main
from training.data.training_set import DataError
from training.recipe import RecipeError
from training.resume import RunFolder
from training.trainer import newest_state

NOWHERE = "/proc/nowhere"  # no user can make it, not even root


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("training.init.probe.SECONDS", 0.0)
    Path("tiny.toml").write_text(RECIPE % {"steps": 8, "learning_rate": "1e-3", "save_every": 4})


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def no_step(monkeypatch) -> None:
    monkeypatch.setattr("training.trainer.TrainStep.take", lambda *_: pytest.fail("a step was taken"))


# Two trainings of one name


def test_a_second_training_of_a_name_is_refused(monkeypatch):
    no_step(monkeypatch)
    with RunFolder(Path("runs/tiny"), fresh=False).alone():
        for more in ([], ["--fresh"]):
            refused = run("train", "tiny.toml", "--no-evaluate", *more)
            assert isinstance(refused.exception, RecipeError)
            says = (
                f"runs/tiny: process {os.getpid()} trains there already: wait for it, stop it, or take another folder"
            )
            assert says in str(refused.exception)


def test_a_lock_ends_with_its_process_however_that_ends(tmp_path):
    held = (
        "import fcntl, os, signal\n"
        "os.makedirs('runs')\n"
        "lock = open('runs/.tiny.lock', 'w')\n"
        "fcntl.flock(lock, fcntl.LOCK_EX)\n"
        "lock.write('12345'); lock.flush()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", held], cwd=tmp_path).returncode == -signal.SIGKILL
    assert Path("runs/.tiny.lock").read_text() == "12345"
    result = run("train", "tiny.toml", "--no-evaluate")
    assert result.exit_code == 0, result.output
    assert run("train", "tiny.toml", "--no-evaluate", "--fresh").exit_code == 0
    with Path("runs/.tiny.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # and it was given back


def test_runs_of_other_names_and_in_other_folders_are_not_locked(tmp_path):
    with RunFolder(Path("runs/tiny"), fresh=False).alone(), RunFolder(Path("runs/other"), fresh=False).alone():
        assert run("train", "tiny.toml", "--no-evaluate", "--runs", "elsewhere").exit_code == 0


# Folders that cannot be written, and full disks


@pytest.mark.parametrize(
    ("option", "folder", "says"),
    [
        ("--runs", NOWHERE, f"{NOWHERE}: nothing can be written there .*: give another folder by --runs"),
        ("--runs", "tiny.toml", "tiny.toml: nothing can be written there"),
        ("--checkpoints", NOWHERE, f"{NOWHERE}: nothing can be written there .*: give another folder by --checkpoints"),
        ("--checkpoints", "tiny.toml/x", "tiny.toml/x: nothing can be written there"),
    ],
)
def test_folders_are_tried_before_the_first_step(monkeypatch, option, folder, says):
    no_step(monkeypatch)
    refused = run("train", "tiny.toml", option, folder)
    with pytest.raises(RecipeError, match=says):
        raise refused.exception


def test_room_for_weights_that_are_kept_is_asked_for_too(monkeypatch):
    no_step(monkeypatch)
    Path("tiny.toml").write_text(RECIPE % {"steps": 8000, "learning_rate": "1e-3", "save_every": 4})
    monkeypatch.setattr("training.disk.shutil.disk_usage", lambda path: SimpleNamespace(free=3 * 2**20))
    refused = run("train", "tiny.toml", "--keep-every", "1")
    with pytest.raises(RecipeError, match=r"runs: \d+ MB are needed there and 3 MB are free: .* by --runs"):
        raise refused.exception


@pytest.mark.parametrize(("done", "kept", "more"), [(0, 3, ()), (4, 1, ()), (5, 1, ()), (4, 3, ("--fresh",))])
def test_room_is_asked_for_what_is_still_to_be_kept(monkeypatch, done, kept, more):
    """Of 8 steps, in twos: after 2, 4 and 6."""

    def no_space(runs, checkpoints, network, kept):
        raise RecipeError(f"room for {kept}")

    monkeypatch.setattr("training.train_command.need_space", no_space)
    if done:
        Path(f"runs/tiny/state-{done}").mkdir(parents=True)
    with pytest.raises(RecipeError, match=f"room for {kept}"):
        raise run("train", "tiny.toml", "--keep-every", "2", *more).exception


@pytest.mark.parametrize(("option", "full"), [("--runs", "runs"), ("--checkpoints", "checkpoints")])
def test_a_full_disk_is_seen_before_the_first_step(monkeypatch, option, full):
    no_step(monkeypatch)
    free = {Path(full): 10_000}
    monkeypatch.setattr("training.disk.shutil.disk_usage", lambda path: SimpleNamespace(free=free.get(path, 2**40)))
    refused = run("train", "tiny.toml")
    says = rf"{full}: 1 MB are needed there and 0 MB are free: make room, or give a folder on another disk by {option}"
    with pytest.raises(RecipeError, match=says):
        raise refused.exception


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), RuntimeError("unexpected pos 64 vs 0\nat …")]
)
def test_a_disk_that_fills_up_leaves_the_last_state_and_the_run_goes_on(monkeypatch, error):
    save = Accelerator.save_state

    def full(self, folder, *of, **more):
        if any(path.name == "state-4" for path in Path("runs/tiny").iterdir()):
            raise error
        return save(self, folder, *of, **more)

    with monkeypatch.context() as patched:
        patched.setattr(Accelerator, "save_state", full)
        refused = run("train", "tiny.toml", "--no-evaluate")
    with pytest.raises(
        RecipeError, match=r"runs/tiny: the state of step 8 cannot be written \(.* MB are free; .*make room"
    ):
        raise refused.exception
    assert "\n" not in str(refused.exception)
    assert newest_state(Path("runs/tiny")).name == "state-4"
    assert run("train", "tiny.toml", "--no-evaluate").exit_code == 0


def test_a_cache_that_cannot_be_written_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", NOWHERE)
    make_folder(tmp_path / "of", {"a": 20, "b": 20})
    refused = run("init", "of", "--name", "mine")
    with pytest.raises(
        DataError, match=r"nowhere/spirale/mine-.*: decoded pixels cannot be kept there .* XDG_CACHE_HOME"
    ):
        raise refused.exception


def test_recipes_that_cannot_be_written_are_named_before_anything_is_measured(monkeypatch, tmp_path):
    monkeypatch.setattr("training.init.command.measure_pace", lambda *_: pytest.fail("a step was taken"))
    make_table(tmp_path / "t.csv")
    refused = run("init", "t.csv", "--name", "mine", "--recipes", NOWHERE)
    with pytest.raises(
        RecipeError, match=f"{NOWHERE}: nothing can be written there .*: give another folder by --recipes"
    ):
        raise refused.exception


def test_an_error_of_a_file_is_one_sentence(monkeypatch):
    def broken():
        raise FileNotFoundError(2, "No such file or directory", "runs/tiny/log.jsonl")

    monkeypatch.setattr("training.__main__.app", broken)
    with pytest.raises(SystemExit, match=r"^error: runs/tiny/log\.jsonl: No such file or directory$"):
        main()


# Commands that can be pasted


def test_the_next_command_has_the_options_that_were_given(tmp_path):
    make_table(tmp_path / "t.csv")
    Path("my models").mkdir()
    made = run("init", "t.csv", "--name", "mine", "--recipes", "my recipes", "--checkpoints", "my models")
    (command,) = [line.removeprefix("now: ") for line in made.output.splitlines() if line.startswith("now: ")]
    assert command == "python -m training train mine --recipes 'my recipes' --checkpoints 'my models'"
    assert "now: python -m training train plain\n" in run("init", "t.csv", "--name", "plain").output


def test_a_judge_is_to_be_trained_first(tmp_path):
    make_folder(tmp_path / "of", {"a": 20, "b": 20})
    roles = [word for role in ("control-canny", "conditional", "judge") for word in ("--role", role)]
    made = run("init", "of", "--name", "mine", *roles)
    commands = [line.split()[-1] for line in made.output.splitlines() if line.startswith("now: ")]
    assert commands == ["mine-judge", "mine", "mine-control-canny"]
