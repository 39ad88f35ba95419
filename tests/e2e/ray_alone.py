"""Commands that start clusters of Ray, each alone in a network where that is allowed, so that none finds another."""

import os
import shutil
import subprocess
from pathlib import Path

PROJECT = Path(__file__).parents[2]
ENVIRONMENT = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_agent_register_timeout_ms": "120000",  # a busy machine takes long to start its processes
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "ops.ray.proxy_middleware:middlewares",
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": str(PROJECT),
}


def run_alone(*command: str, seconds: float) -> subprocess.CompletedProcess[str]:
    """With nothing but 127.0.0.1, where that is allowed."""
    inside = ["unshare", "--map-root-user", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    allowed = shutil.which("unshare") and subprocess.run([*inside, "true"], capture_output=True).returncode == 0
    return subprocess.run(
        [*(inside if allowed else []), *command],
        cwd=PROJECT, env=os.environ | ENVIRONMENT, capture_output=True, text=True, timeout=seconds,
    )  # fmt: skip
