"""The containers: docker-compose.yml builds, serves a sample, and Prometheus reads the service's metrics."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.e2e.conftest import PROJECT, free_ports

BUILD_SECONDS = 1800  # the first build downloads torch and what it needs of CUDA
# Compose 1 builds through the docker client, and so through BuildKit, only when told to.
BUILDKIT = {"DOCKER_BUILDKIT": "1", "COMPOSE_DOCKER_CLI_BUILD": "1"}

pytestmark = pytest.mark.slow


def find_compose() -> list[str]:
    """The command of Compose 2, else 1; skips the test where there is none, or no engine for it."""
    if not _succeeds("docker", "info"):
        pytest.skip("no Docker engine answers `docker info`")
    for command in (["docker", "compose"], ["docker-compose"]):
        if _succeeds(*command, "version"):
            return command
    pytest.skip("neither `docker compose` nor `docker-compose` is installed")


def _succeeds(*command: str) -> bool:
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run(command, capture_output=True, timeout=60).returncode == 0


def eventually(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so after {seconds} s: {condition.__doc__}"
        time.sleep(1)


@pytest.fixture
def deployment() -> Iterator[tuple[str, str]]:
    """The addresses of the service and of Prometheus, on ports and under a name that no other deployment has."""
    service, prometheus = free_ports(2)
    command = [*find_compose(), "--project-name", f"spirale-test-{service}"]
    environment = {**os.environ, **BUILDKIT, "SPIRALE_PORT": str(service), "PROMETHEUS_PORT": str(prometheus)}

    def compose(*arguments: str, timeout: float = 120) -> None:
        subprocess.run([*command, *arguments], cwd=PROJECT, env=environment, timeout=timeout, check=True)

    try:
        compose("up", "--build", "--detach", "service", "prometheus", timeout=BUILD_SECONDS)
        yield f"http://127.0.0.1:{service}", f"http://127.0.0.1:{prometheus}"
    finally:
        compose("logs", "--no-color", "--tail", "50")  # pytest shows it when the test fails
        compose("down", "--volumes", "--rmi", "local")


def test_containers_serve_samples_and_are_scraped(deployment):
    service, prometheus = deployment

    def ready() -> bool:
        """/readyz answers 200"""
        try:
            return httpx.get(f"{service}/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def scraped() -> bool:
        """Prometheus has one target, and it is up"""
        try:
            targets = httpx.get(f"{prometheus}/api/v1/targets").json()["data"]["activeTargets"]
        except httpx.TransportError:
            return False
        return [target["health"] for target in targets] == ["up"]

    eventually(ready, seconds=120)
    answer = httpx.post(f"{service}/sample", json={"dataset": "spiral", "n": 5}, timeout=60)
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["points"]) == 5
    eventually(scraped, seconds=60)

    def latency_is_known() -> bool:
        """The median latency of the request above can be asked for, by dataset"""
        httpx.post(f"{service}/sample", json={"dataset": "spiral", "n": 5}, timeout=60)
        query = "histogram_quantile(0.5, sum by (dataset, le) (rate(spirale_request_seconds_bucket[1m])))"
        found = httpx.get(f"{prometheus}/api/v1/query", params={"query": query}).json()["data"]["result"]
        return [one["metric"]["dataset"] for one in found if one["value"][1] != "NaN"] == ["spiral"]

    eventually(latency_is_known, seconds=60)
    rules = httpx.get(f"{prometheus}/api/v1/rules").json()["data"]["groups"]
    assert {group["name"] for group in rules} == {"spirale-latency", "spirale-engine"}
