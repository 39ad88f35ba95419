"""A real nginx before the real process, configured as docs/operating.md says, under a path of its own."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import PROJECT, Process, free_ports, services
from tests.tiny import IMAGES, POINTS, save_tiny
from tests.waiting import wait_for

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(NGINX is None, reason="nginx is not installed")]
FIELDS = {"dataset": "mnist", "label": 7, "seed": 3, "steps": 2}


@pytest.fixture(scope="module")
def service(tmp_path_factory) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("served")
    save_tiny(folder / "checkpoints", IMAGES, T=1000)
    save_tiny(folder / "checkpoints", POINTS)
    with services() as start:
        service = start("--checkpoints", str(folder / "checkpoints"), "--jobs-dir", str(folder / "jobs"))
        service.wait_until_ready()
        yield service


@pytest.fixture(scope="module")
def proxied(service: Process, tmp_path_factory) -> Iterator[httpx.Client]:
    """A client of the service's path in nginx."""
    folder, [port] = tmp_path_factory.mktemp("nginx"), free_ports(1)
    [location] = re.findall(r"^```nginx\n(.*?)^```", (PROJECT / "docs/operating.md").read_text(), re.DOTALL | re.M)
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}}\n"
        f"http {{ access_log off; client_body_buffer_size 4m; client_body_temp_path {folder}/body;\n"
        f"proxy_temp_path {folder}/proxy;\n"
        f"fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n"
        f"server {{ listen 127.0.0.1:{port};\n" + location.replace("http://127.0.0.1:8000", service.url) + "} }\n"
    )
    assert service.url in config.read_text()
    with subprocess.Popen([str(NGINX), "-e", str(folder / "error.log"), "-c", str(config)]) as nginx:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}/spirale", timeout=60) as client:
                wait_for(lambda: answers(client) or nginx.poll() is not None)
                assert nginx.poll() is None, Path(folder / "error.log").read_text()
                yield client
        finally:
            nginx.terminate()  # it ends its workers, too


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("path", ["/", "/healthz", "/models", "/docs", "/openapi.json", "/playground/main.js"])
def test_pages_and_answers_are_those_without_it_also_by_head(service, proxied, path):
    assert proxied.get(path).content == service.get(path).content
    assert (proxied.head(path).status_code, proxied.head(path).content) == (200, b"")


def test_a_sample_is_the_same_and_an_error_keeps_its_form(service, proxied):
    assert proxied.post("/sample", json=FIELDS).content == service.post("/sample", json=FIELDS).content
    refused = proxied.post("/sample", json=FIELDS | {"steps": 0})
    assert (refused.status_code, refused.headers["content-type"]) == (422, "application/problem+json")


@pytest.mark.parametrize("path", ["/docs/", "/sample/?dataset=mnist&steps=2", "/v1/models/"])
def test_a_slash_too_many_leads_back_within_the_path(proxied, path):
    answer = proxied.get(path, follow_redirects=True)
    assert answer.status_code == 200 and answer.url.path == "/spirale" + path.partition("?")[0].rstrip("/")


def test_a_job_is_where_its_location_says(proxied):
    answer = proxied.post("/jobs", json={"dataset": "spiral", "n": 10})
    job = proxied.get(answer.url.join(answer.headers["location"]))
    assert job.status_code == 200 and job.json()["id"] == answer.json()["id"]
    with proxied.stream("GET", f"/jobs/{job.json()['id']}/events") as events:
        assert '"state":"done"' in events.read().decode()
    [file] = proxied.get(f"/jobs/{job.json()['id']}/files").json()["files"]
    part = proxied.get(f"/jobs/{job.json()['id']}/files/{file['name']}", headers={"Range": "bytes=4-7"})
    assert part.status_code == 206 and len(part.content) == 4


def test_events_arrive_while_the_service_is_still_at_work_and_who_leaves_frees_it(service, proxied):
    long = {"dataset": "mnist", "n": 64, "steps": 1000, "sampler": "ddpm", "previews": 50}
    with proxied.stream("POST", "/sample", json=long, headers={"Accept": "text/event-stream"}) as answer:
        assert "event: progress" in next(answer.iter_text())
        assert service.metric("spirale_rows_active") == 64
    wait_for(lambda: service.rows() == 0)
    assert service.metric("spirale_cancelled_total") == 1


def test_a_body_that_the_service_takes_passes_and_a_larger_one_is_the_services_to_refuse(proxied):
    for size, status in ((2_000_000, 422), (2_097_152, 413)):
        answer = proxied.post("/sample", json={"dataset": "mnist", "prompt": "x" * size})
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
