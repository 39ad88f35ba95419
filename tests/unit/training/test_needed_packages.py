"""Where only the service is installed, training says so in one sentence."""

import io
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from training import __main__ as command
from training.needed_packages import NEEDED

PROJECT = Path(__file__).parents[3]


def test_what_is_missing_is_said_in_a_sentence_that_names_make_train_env(tmp_path):
    """As after `make serve` alone; `-S` leaves site-packages away, with all that they have."""
    told = subprocess.run(
        [sys.executable, "-S", "-m", "training", "--help"], cwd=PROJECT, capture_output=True, text=True
    )
    assert told.returncode == 1 and told.stdout == ""
    assert told.stderr.count("\n") == 1 and "make train-env" in told.stderr and "typer" in told.stderr


def test_all_that_training_installs_is_looked_for():
    extra = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["train"]
    installed = packages_distributions()
    found = {name for module in NEEDED for name in installed[module]}
    assert {wanted.split(">=")[0] for wanted in extra} <= found


def test_a_help_text_is_written_in_an_encoding_that_lacks_its_characters(monkeypatch):
    """A pipe, or a terminal of Latin-1: the help's `…` is none of it."""
    written = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr("sys.stdout", written)
    monkeypatch.setattr("sys.argv", ["training", "evaluate", "--help"])
    with pytest.raises(SystemExit) as ended:
        command.main()
    written.flush()
    assert ended.value.code == 0 and b"\\u2026" in written.buffer.getvalue()
