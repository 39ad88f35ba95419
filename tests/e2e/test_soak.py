"""The soak of `python -m benchmarks soak`, for three minutes instead of twenty."""

import subprocess
import sys

import pytest

from tests.e2e.conftest import PROJECT

pytestmark = pytest.mark.slow


def test_a_short_soak_leaves_memory_flat_and_nothing_behind():
    told = subprocess.run(
        [sys.executable, "-m", "benchmarks", "soak", "--minutes", "3"], cwd=PROJECT, capture_output=True, text=True
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert "nothing wrong" in told.stdout
