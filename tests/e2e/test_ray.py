"""A cluster of Ray loses a replica and a node under load, and answers as one process does. It needs the extra `ray`."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny import IMAGES, POINTS, save_tiny

pytest.importorskip("ray", reason="the extra ray is not installed")

PROJECT = Path(__file__).parents[2]
REQUESTS = 500
RETRYABLE = {"429", "502", "503", "504"}
BROKEN_OFF = {"ReadError", "RemoteProtocolError", "ReadTimeout"}
"""By the proxy, of an answer that had begun: the client knows that it has not all of it."""
ENVIRONMENT = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_agent_register_timeout_ms": "120000",  # a busy machine takes long to start its processes
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "ops.ray.proxy_middleware:middlewares",
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": str(PROJECT),
}


def alone_in_a_network(*command: str) -> list[str]:
    """With nothing but 127.0.0.1, where that is allowed."""
    inside = ["unshare", "--map-root-user", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    allowed = shutil.which("unshare") and subprocess.run([*inside, "true"], capture_output=True).returncode == 0
    return [*(inside if allowed else []), *command]


@pytest.mark.slow
def test_what_was_accepted_is_answered_or_may_be_asked_again_while_a_replica_and_a_node_are_killed(tmp_path):
    save_tiny(tmp_path, IMAGES)
    save_tiny(tmp_path, POINTS)
    command = [sys.executable, "-m", "tests.e2e.ray_kills", str(tmp_path), str(REQUESTS)]
    told = subprocess.run(
        alone_in_a_network(*command),
        cwd=PROJECT, env=os.environ | ENVIRONMENT, capture_output=True, text=True, timeout=1800,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr[-3000:]
    outcome = json.loads(next(line for line in told.stdout.splitlines() if line.startswith('{"tries"')))
    assert outcome["wrong"] == []
    assert outcome["tries"].pop("200") == REQUESTS
    assert set(outcome["tries"]) <= RETRYABLE | BROKEN_OFF
