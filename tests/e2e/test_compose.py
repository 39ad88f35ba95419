"""The containers: docker-compose.yml builds, serves a sample, and Prometheus reads the service's metrics."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import httpx
import pytest
import yaml

from tests.e2e.conftest import PROJECT, free_ports

BUILD_SECONDS = 1800  # the first build downloads torch and what it needs of CUDA
READY_SECONDS = 600  # all shipped checkpoints are warmed up, perhaps on a small machine
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


@dataclass
class Deployment:
    """Containers on ports and under a name that no other deployment has."""

    command: list[str]
    environment: dict[str, str]
    service: str = field(init=False)  # addresses
    prometheus: str = field(init=False)

    def __post_init__(self):
        self.service = f"http://127.0.0.1:{self.environment['SPIRALE_PORT']}"
        self.prometheus = f"http://127.0.0.1:{self.environment['PROMETHEUS_PORT']}"

    def compose(self, *arguments: str, timeout: float = 120) -> str:
        told = subprocess.run(
            [*self.command, *arguments], cwd=PROJECT, env=self.environment, timeout=timeout, check=True,
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        return told.stdout.strip()

    def ready(self) -> bool:
        """/readyz answers 200"""
        try:
            return httpx.get(f"{self.service}/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def healthy(self) -> bool:
        """Docker finds the service's container healthy"""
        return inspected(self.container)["State"]["Health"]["Status"] == "healthy"

    @property
    def container(self) -> str:
        """The service's."""
        return self.compose("ps", "--quiet", "service")

    def execute(self, *arguments: str) -> subprocess.CompletedProcess:
        return docker("exec", self.container, *arguments, check=False)


def docker(*arguments: str, check: bool = True, timeout: float = 120) -> subprocess.CompletedProcess:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=check, timeout=timeout)


def inspected(container: str) -> dict:
    return json.loads(docker("inspect", container).stdout)[0]


@pytest.fixture(scope="module")
def deployment() -> Iterator[Deployment]:
    service, prometheus = free_ports(2)
    # One thread: several wait for each other on a machine that does something else too.
    settings = {"SPIRALE_PORT": str(service), "PROMETHEUS_PORT": str(prometheus), "SPIRALE_THREADS": "1"}
    command = [*find_compose(), "--project-name", f"spirale-test-{service}"]
    deployed = Deployment(command, {**os.environ, **BUILDKIT, **settings})
    try:
        deployed.compose("up", "--build", "--detach", "service", "prometheus", timeout=BUILD_SECONDS)
        eventually(deployed.ready, READY_SECONDS)
        yield deployed
    finally:
        with contextlib.suppress(subprocess.SubprocessError):  # without them the containers are removed all the same
            print(deployed.compose("logs", "--no-color", "--tail", "50"))  # pytest shows it when the test fails
        deployed.compose("down", "--volumes", "--rmi", "local")


def test_containers_serve_samples_and_are_scraped(deployment):
    service, prometheus = deployment.service, deployment.prometheus

    def scraped() -> bool:
        """Prometheus has one target, and it is up"""
        try:
            targets = httpx.get(f"{prometheus}/api/v1/targets").json()["data"]["activeTargets"]
        except httpx.TransportError:
            return False
        return [target["health"] for target in targets] == ["up"]

    answer = httpx.post(f"{service}/sample", json={"dataset": "spiral", "n": 5}, timeout=60)
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["points"]) == 5
    eventually(scraped, seconds=60)

    def latency_is_known() -> bool:
        """The median latency of the request above can be asked for, by dataset"""
        httpx.post(f"{service}/sample", json={"dataset": "spiral", "n": 5}, timeout=60)
        query = 'histogram_quantile(0.5, sum by (dataset, le) (rate(spirale_request_seconds_bucket{outcome="ok"}[1m])))'
        found = httpx.get(f"{prometheus}/api/v1/query", params={"query": query}).json()["data"]["result"]
        return [one["metric"]["dataset"] for one in found if one["value"][1] != "NaN"] == ["spiral"]

    eventually(latency_is_known, seconds=60)
    rules = httpx.get(f"{prometheus}/api/v1/rules").json()["data"]["groups"]
    written = yaml.safe_load((PROJECT / "ops" / "rules.yml").read_text())["groups"]
    assert {group["name"] for group in rules} == {group["name"] for group in written}


def test_the_container_has_no_more_rights_than_it_needs(deployment):
    assert deployment.execute("id", "-u").stdout.strip() == "10001"
    refused = deployment.execute("touch", "/app/service/new.py")
    assert refused.returncode != 0 and "Read-only file system" in refused.stderr
    for compiler in ("cc", "gcc", "g++", "clang"):
        assert deployment.execute("sh", "-c", f"command -v {compiler}").returncode != 0
    host = inspected(deployment.container)["HostConfig"]
    assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"] and "no-new-privileges:true" in host["SecurityOpt"]
    published = [binding["HostIp"] for bindings in host["PortBindings"].values() for binding in bindings]
    assert published == ["127.0.0.1"]


def test_the_container_is_found_healthy(deployment):
    eventually(deployment.healthy, seconds=60)


def test_a_change_of_code_copies_some_files_and_installs_nothing(deployment, tmp_path):
    files = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, files.split("\0")):
        if (PROJECT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, tmp_path / name)
    with open(tmp_path / "service" / "logs.py", "a") as code:
        code.write("# changed\n")
    told = subprocess.run(
        ["docker", "build", "--progress", "plain", "--tag", "spirale-changed", str(tmp_path)],
        env={**os.environ, **BUILDKIT}, capture_output=True, text=True, check=True, timeout=BUILD_SECONDS,
    )  # fmt: skip
    docker("rmi", "spirale-changed")
    steps = re.split(r"\n\n", told.stderr + told.stdout)
    [installing] = [step for step in steps if "requirements.lock; " in step and "RUN" in step]
    assert "CACHED" in installing
    assert [step for step in steps if "COPY service service" in step and "CACHED" not in step]


def test_too_little_memory_ends_the_container_at_once(deployment):
    if "false" in docker("info", "--format", "{{.MemoryLimit}}").stdout:
        pytest.skip("this Docker engine cannot limit memory")
    image = inspected(deployment.container)["Image"]
    too_little = "100m"  # torch alone takes more
    told = docker("run", "--rm", "--memory", too_little, "--memory-swap", too_little, image, check=False)
    assert told.returncode == 137


def test_stopping_is_clean(deployment):
    container = deployment.container
    deployment.compose("stop", "service")
    assert inspected(container)["State"]["ExitCode"] == 0
