"""A cluster of Ray loses a replica and a node under load, and answers as one process does. It needs the extra `ray`."""

import json
import os
import sys

import pytest

from model.checkpoints.base import save_checkpoint
from tests.e2e.ray_alone import run_alone
from tests.tiny import IMAGES, POINTS, save_tiny, tiny_student

pytest.importorskip("ray", reason="the extra ray is not installed")

REQUESTS = 500
KILLS = int(os.environ.get("SPIRALE_TEST_RAY_KILLS", "2"))
"""A replica, then a node, by turns."""
RETRYABLE = {"429", "503"}
BROKEN_OFF = {f"{error} of a stream" for error in ("ReadError", "RemoteProtocolError")}
"""By the proxy: a stream had begun, so there is no status for it, but the client knows that it has not all of it."""


@pytest.mark.slow
def test_what_was_accepted_is_answered_or_may_be_asked_again_while_a_replica_and_a_node_are_killed(tmp_path):
    save_tiny(tmp_path, IMAGES)
    save_tiny(tmp_path, POINTS)
    student = tiny_student(IMAGES)
    save_checkpoint(tmp_path / student.config.name, student.config, student.network)
    command = [sys.executable, "-m", "tests.e2e.ray_kills", str(tmp_path), str(REQUESTS), str(KILLS)]
    told = run_alone(*command, seconds=3000)
    assert told.returncode == 0, told.stderr[-3000:]
    outcome = json.loads(next(line for line in told.stdout.splitlines() if line.startswith('{"tries"')))
    print(outcome)
    assert outcome["wrong"] == [] == outcome["given_up"]
    assert outcome["tries"].pop("200") == REQUESTS
    assert set(outcome["tries"]) <= RETRYABLE | BROKEN_OFF


@pytest.mark.slow
def test_a_second_replica_comes_where_more_than_five_device_seconds_wait(tmp_path):
    save_tiny(tmp_path, IMAGES)
    on_two_nodes = [sys.executable, "-m", "tests.e2e.ray_two_nodes", sys.executable, "-m", "tests.e2e.ray_scaling"]
    told = run_alone(*on_two_nodes, str(tmp_path), seconds=900)
    assert told.returncode == 0, told.stderr[-3000:]
    outcome = json.loads(next(line for line in told.stdout.splitlines() if line.startswith('{"replicas"')))
    assert outcome["replicas"] == [1, 2]
    assert set(outcome["statuses"]) == {"200"}


@pytest.mark.slow
def test_who_leaves_a_stream_or_a_request_frees_its_rows(tmp_path):
    save_tiny(tmp_path, IMAGES, T=1000)
    on_two_nodes = [sys.executable, "-m", "tests.e2e.ray_two_nodes", sys.executable, "-m", "tests.e2e.ray_disconnects"]
    told = run_alone(*on_two_nodes, str(tmp_path), seconds=900)
    assert told.returncode == 0, told.stderr[-3000:]
