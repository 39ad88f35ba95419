"""The manifests are valid by Kubernetes' own published schemas, and agree with the service that they run."""

import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from service.app import LOADING_SECONDS
from service.engine.engine import ABORT_SECONDS
from service.metrics import Metrics
from service.routes import health
from service.settings import Settings

KUBERNETES = Path(__file__).parents[3] / "ops" / "kubernetes"
VERSION = "1.32"  # in which a preStop that sleeps is on by default
PROJECT = KUBERNETES.parents[1]

with_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")


def built(folder: str) -> dict[str, dict]:
    """By kind, what kustomize makes of a folder."""
    command = ["kubectl", "kustomize", str(KUBERNETES / folder)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {one["kind"]: one for one in yaml.safe_load_all(text)}


@pytest.fixture(scope="module")
def base() -> dict[str, dict]:
    """By kind, as the files have them; the selectors are kustomize's to add."""
    kustomization = yaml.safe_load((KUBERNETES / "base" / "kustomization.yaml").read_text())
    files = [yaml.safe_load((KUBERNETES / "base" / name).read_text()) for name in kustomization["resources"]]
    return {one["kind"]: one for one in files}


@with_kubectl
@pytest.mark.parametrize("folder", ["base", "gpu"])
def test_what_kustomize_builds_is_valid_by_the_published_schemas(folder):
    manifests = built(folder)
    assert set(manifests) == {"Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget"}
    for manifest in manifests.values():
        kubernetes_validate.validate(manifest, VERSION, strict=True)
    labels = manifests["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert manifests["Service"]["spec"]["selector"] == labels
    assert manifests["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels


@with_kubectl
def test_the_overlay_adds_a_gpu():
    (container,) = built("gpu")["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_a_misspelt_field_is_found(base):
    """The schemas are strict: else this page of tests would say little."""
    manifest = base["Service"] | {"specs": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, VERSION, strict=True)


def test_environment_variables_are_settings(base):
    (container,) = base["Deployment"]["spec"]["template"]["spec"]["containers"]
    named = {one["name"]: one["value"] for one in container["env"] if one["name"].startswith("SPIRALE_")}
    given = {name.removeprefix("SPIRALE_").lower(): value for name, value in named.items()}
    Settings(**given)


def test_a_pod_has_the_time_to_answer_what_it_accepted(base):
    pod = base["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    seconds = {one["name"]: float(one["value"]) for one in container["env"] if one["name"].endswith("_SECONDS")}
    assert seconds["SPIRALE_DRAIN_SECONDS"] > seconds["SPIRALE_DEADLINE_SECONDS"]
    before = container["lifecycle"]["preStop"]["sleep"]["seconds"] + seconds["SPIRALE_NOTICE_SECONDS"]
    assert pod["terminationGracePeriodSeconds"] >= before + seconds["SPIRALE_DRAIN_SECONDS"] + ABORT_SECONDS


def test_probes_ask_what_the_service_answers_and_wait_as_long_as_its_engine(base):
    (container,) = base["Deployment"]["spec"]["template"]["spec"]["containers"]
    probes = {name: container[f"{name}Probe"] for name in ("startup", "readiness", "liveness")}
    assert {probe["httpGet"]["path"] for probe in probes.values()} <= {route.path for route in health.router.routes}
    assert probes["startup"]["periodSeconds"] * probes["startup"]["failureThreshold"] >= LOADING_SECONDS
    assert probes["liveness"]["httpGet"]["path"] == "/healthz", "a service that drains or loads must not be killed"


def test_the_container_is_confined(base):
    pod = base["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] == 10001
    assert "--uid 10001" in (PROJECT / "Dockerfile").read_text()
    confined = container["securityContext"]
    assert confined["readOnlyRootFilesystem"] and not confined["allowPrivilegeEscalation"]
    assert confined["capabilities"]["drop"] == ["ALL"]
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert {volume["name"] for volume in pod["volumes"] if "emptyDir" in volume} == mounted
    paths = [mount["mountPath"] for mount in container["volumeMounts"]]
    caches = [one["value"] for one in container["env"] if one["value"].startswith("/")]
    assert all(any(Path(cache).is_relative_to(path) for path in paths) for cache in caches)


def test_replicas_follow_a_metric_that_there_is(base):
    (scaled,) = base["HorizontalPodAutoscaler"]["spec"]["metrics"]
    name = scaled["pods"]["metric"]["name"]
    (rule,) = yaml.safe_load((KUBERNETES / "prometheus-adapter.yaml").read_text())["rules"]["custom"]
    assert rule["name"]["as"] == name and rule["seriesQuery"].startswith(f"{name}{{")
    assert name in {metric.name for metric in Metrics().registry.collect()}


def test_a_ray_service_has_pods_that_are_valid_and_drain_longer_than_the_deadline():
    """The schema of RayService itself is KubeRay's, and not published where it could be had without a cluster."""
    spec = yaml.safe_load((PROJECT / "ops/ray/rayservice.yaml").read_text())["spec"]
    (application,) = yaml.safe_load(spec["serveConfigV2"])["applications"]
    settings = Settings(**application["args"])
    cluster = spec["rayClusterConfig"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in groups:
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ray"}, "spec": group["template"]["spec"]}
        kubernetes_validate.validate(pod, VERSION, strict=True)
        assert pod["spec"]["terminationGracePeriodSeconds"] > settings.deadline_seconds
    assert spec["rayClusterDeletionDelaySeconds"] > settings.deadline_seconds
    environment = {one["name"]: one["value"] for one in groups[0]["template"]["spec"]["containers"][0]["env"]}
    assert float(environment["RAY_SERVE_PROXY_MIN_DRAINING_PERIOD_S"]) > settings.deadline_seconds
    assert f'ray[data,serve]=={cluster["rayVersion"]}"' in (PROJECT / "ops/ray/Dockerfile").read_text()
