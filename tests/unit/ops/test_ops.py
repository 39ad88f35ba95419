"""What operators are given: rules that promtool accepts and tests, and a dashboard of metrics that there are."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

import pytest
import yaml

from service.metrics import Metrics

OPS = Path(__file__).parents[3] / "ops"
DASHBOARD = json.loads((OPS / "grafana" / "dashboards" / "spirale.json").read_text())
RULES = [rule for group in yaml.safe_load((OPS / "rules.yml").read_text())["groups"] for rule in group["rules"]]

with_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")


def queries() -> list[str]:
    """Of the dashboard and of the rules."""
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]] + [r["expr"] for r in RULES]


@with_promtool
@pytest.mark.parametrize(
    "command",
    [
        ["check", "config", "--syntax-only", "prometheus.yml"],
        ["check", "rules", "rules.yml"],
        ["test", "rules", "rules_test.yml"],
    ],
)
def test_promtool_accepts_the_configuration_and_the_rules_do_what_their_cases_say(command):
    told = subprocess.run(["promtool", *command], cwd=OPS, capture_output=True, text=True)
    assert told.returncode == 0, told.stdout + told.stderr


def test_every_query_asks_for_metrics_that_there_are():
    exported = {sample for metric in Metrics().registry.collect() for sample in _series(metric)}
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    for query in queries():
        asked = set(re.findall(r"\bspirale[a-z0-9_:]*", re.sub(r"\{[^}]*\}", "", query)))
        assert asked <= exported | recorded, query


def _series(metric) -> set[str]:
    ends = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",)}[metric.type]
    return {metric.name + end for end in ends}


def test_the_objective_lies_on_a_bucket():
    """Else the share of slow requests would be a guess."""
    bounds = {match for query in queries() for match in re.findall(r'le="([^"]+)"', query)}
    metrics = Metrics()
    metrics.request_seconds.labels(dataset="mnist", outcome="ok").observe(10)
    text = metrics.exposition().decode()
    assert bounds == {"10.0"}
    assert 'spirale_request_seconds_bucket{dataset="mnist",le="10.0",outcome="ok"} 1.0' in text


def test_a_flood_of_refusals_leaves_latency_as_it_was():
    """Overload must not look fast: quantiles and the objective ask for outcomes of requests that were taken on."""
    for query in queries():
        for selector in re.findall(r"spirale_request_seconds_(?:bucket|count)(\{[^}]*\})?", query):
            assert 'outcome="ok"' in selector or 'outcome=~"ok|deadline"' in selector, query


def test_the_dashboard_can_be_provisioned():
    provisioned = yaml.safe_load((OPS / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]
    assert {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]} == {provisioned[0]["uid"]}
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in DASHBOARD["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells)) and max(x for x, _ in cells) < 24  # no panel covers another


def test_compose_publishes_to_this_machine_only_and_mounts_what_there_is():
    compose = yaml.safe_load((OPS.parent / "docker-compose.yml").read_text())
    assert "name" not in compose  # docker-compose 1.29 does not know it
    for service in compose["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        for volume in service["volumes"]:
            source, *_, mode = volume.split(":")
            named = source in compose["volumes"]  # by Docker: what is in it outlives the container
            assert named or ((OPS.parent / source).exists() and mode == "ro")
    assert compose["services"]["gpu"]["profiles"] == ["gpu"]


def is_sent(name: str) -> bool:
    """Does Docker get this file for a build? The last pattern of .dockerignore that matches it, or a folder of it,
    decides."""
    sent = True
    names = [name, *map(str, PurePosixPath(name).parents)]
    for pattern in (OPS.parent / ".dockerignore").read_text().split():
        if any(fnmatch(one, pattern.removeprefix("!")) for one in names):
            sent = pattern.startswith("!")
    return sent


@pytest.mark.parametrize("dockerfile", ["Dockerfile", "ops/ray/Dockerfile"])
def test_what_an_image_copies_is_sent_for_its_build(dockerfile):
    lines = (OPS.parent / dockerfile).read_text().splitlines()
    copies = [line.split()[1:] for line in lines if line.startswith("COPY") and "--from=" not in line]
    for source in {one for copy in copies for one in copy[:-1] if not one.startswith("--")}:
        place = OPS.parent / source
        files = [file for file in (place, *place.rglob("*")) if file.is_file() and "__pycache__" not in file.parts]
        assert files and all(is_sent(file.relative_to(OPS.parent).as_posix()) for file in files), source
    assert copies and not is_sent("ops/grafana/dashboards/spirale.json")  # what no image needs stays here


def test_the_image_checks_its_own_port_whatever_kubernetes_calls_a_port():
    """Beside a Service named spirale, SPIRALE_PORT is an address."""
    lines = (OPS.parent / "Dockerfile").read_text().replace("\\\n", "")
    command = re.search(r"^HEALTHCHECK .* CMD python -c (\".*\")$", lines, re.MULTILINE)[1]
    asked = command.replace("import http.client as h", "import unittest.mock as m; h = m.MagicMock()")
    asked = asked.replace("exit(", "print(h.HTTPConnection.call_args.args); exit(")
    for value, port in (("tcp://10.43.12.7:8000", 8000), ("8001", 8001), ("", 8000)):
        script = f"{sys.executable} -c {asked}"
        told = subprocess.run(["sh", "-c", script], env={"SPIRALE_PORT": value}, capture_output=True, text=True)
        assert told.stdout == f"('127.0.0.1', {port})\n", told.stderr


def test_the_image_takes_what_extras_need_from_pyproject():
    lines = (OPS.parent / "Dockerfile").read_text().replace("\\\n", "")
    (script,) = re.findall(r"/venv/bin/python -c (\".*?\") +> extras\.txt", lines)

    def needed(extras: str) -> subprocess.CompletedProcess:
        command, env = f"{sys.executable} -c {script}", {"EXTRAS": extras}
        return subprocess.run(["sh", "-c", command], cwd=OPS.parent, env=env, capture_output=True, text=True)

    extras = tomllib.loads((OPS.parent / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert needed("postgres,s3").stdout.splitlines() == [*extras["postgres"], *extras["s3"]]
    assert needed("postgress").returncode != 0  # and the build ends
