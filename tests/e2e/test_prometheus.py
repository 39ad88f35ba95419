"""A real Prometheus over the real process: every query of the dashboard and of the rules finds something."""

import json
import shutil
import subprocess
import time
from pathlib import Path

import httpx
import pytest
import yaml

from tests.e2e.conftest import PROJECT, free_ports
from tests.tiny import IMAGES, POINTS, save_tiny

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed"),
]
OPS = PROJECT / "ops"
KEY = {"Authorization": "Bearer sesame"}
# What has nothing to tell while all is well, or before half an hour has passed.
QUIET = ("ALERT", "spirale_rejected_total", "spirale_cancelled_total", "[30m]", "[1h]", "[6h]")


@pytest.fixture
def prometheus(start_service, tmp_path: Path):
    """Its address, and a service with keys and jobs that it scrapes every second by the shipped configuration."""
    for data in (IMAGES, POINTS):
        save_tiny(tmp_path / "checkpoints", data)
    service = start_service("--checkpoints", str(tmp_path / "checkpoints"), "--api-key", "sesame")
    service.wait_until_ready()
    config = yaml.safe_load((OPS / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    (tmp_path / "api-key").write_text("sesame")
    config["scrape_configs"][0] |= {
        "static_configs": [{"targets": [service.url.removeprefix("http://")]}],
        "authorization": {"credentials_file": str(tmp_path / "api-key")},
    }
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    shutil.copy(OPS / "rules.yml", tmp_path)
    [port] = free_ports(1)
    popen = subprocess.Popen(
        ["prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data",
         f"--web.listen-address=127.0.0.1:{port}"],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    yield f"http://127.0.0.1:{port}", service
    popen.kill()
    popen.wait()


def test_every_query_is_answered(prometheus):
    address, service = prometheus

    def ask(query: str) -> list:
        answer = httpx.get(f"{address}/api/v1/query", params={"query": query}).json()
        assert answer["status"] == "success", (query, answer)
        return answer["data"]["result"]

    dashboard = json.loads((OPS / "grafana" / "dashboards" / "spirale.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    for group in yaml.safe_load((OPS / "rules.yml").read_text())["groups"]:
        queries += [rule["expr"] if "record" in rule else f"{rule['expr']} # ALERT" for rule in group["rules"]]
    loud = [query for query in queries if not any(word in query for word in QUIET)]
    asked = {"dataset": "spiral", "n": 10, "steps": 2}
    assert service.post("/jobs", json=asked, headers=KEY).status_code == 202
    deadline = time.monotonic() + 60
    silent = loud
    while silent:
        assert time.monotonic() < deadline, f"nothing found by {silent}"
        for dataset in ("mnist", "spiral"):
            assert service.post("/sample", json={"dataset": dataset}, headers=KEY).status_code == 200
        time.sleep(1)
        try:
            silent = [query for query in loud if not ask(query)]
        except httpx.TransportError:
            continue  # it is still starting
    for query in queries:
        ask(query)
    assert {one["metric"]["dataset"] for one in ask("spirale:request_seconds:p95")} == {"mnist", "spiral"}
    assert ask("ALERTS") == []
