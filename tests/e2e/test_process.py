"""The real process, over a real socket."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import httpx
import numpy as np
import pytest

from tests.e2e.conftest import PROJECT
from tests.tiny import IMAGES, POINTS, save_tiny
from tests.waiting import wait_for


@pytest.fixture
def tiny(tmp_path):
    save_tiny(tmp_path, IMAGES)
    return ("--checkpoints", str(tmp_path))


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_shipped_models_draw_a_seven_that_the_judge_reads_as_seven(start_service, tmp_path):
    import torch
    from PIL import Image

    from training.metrics.judge import load_judge

    service = start_service()
    service.wait_until_ready()
    seven = tmp_path / "seven.png"
    body = '{"dataset":"mnist","label":7,"seed":1}'
    subprocess.run(["curl", "-sf", "--json", body, f"{service.url}/sample", "-o", seven], check=True)
    picture = np.asarray(Image.open(seven))
    assert picture.shape == (28, 28)
    judge = load_judge(PROJECT / "checkpoints" / "mnist-judge")
    assert judge.look(torch.from_numpy(picture.copy())[None, None])[1].tolist() == [7]

    for fields in ({"dataset": "spiral", "n": 500}, {"dataset": "gaussian", "label": 1, "n": 500}):
        points = np.array(httpx.post(f"{service.url}/sample", json=fields, timeout=60).json()["points"])
        assert points.shape == (500, 2) and np.isfinite(points).all()
    # `points` are the Gaussian's: its second component stands at (−4, −4) with deviation 1.
    np.testing.assert_allclose(points.mean(0), [-4, -4], atol=0.3)
    np.testing.assert_allclose(points.std(0), [1, 1], atol=0.15)


def test_a_client_that_goes_away_frees_its_rows(start_service, tiny):
    service = start_service(*tiny)
    service.wait_until_ready()
    body = b'{"dataset":"mnist","n":64,"steps":50,"sampler":"ddpm"}'
    host, port = service.url.removeprefix("http://").split(":")
    clients = []
    for _ in range(20):
        client = socket.create_connection((host, int(port)))
        head = (
            f"POST /sample HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        client.sendall(head.encode() + body)
        clients.append(client)

    def rows() -> float:
        return service.metric("spirale_rows_active") + service.metric("spirale_rows_queued")

    wait_for(lambda: rows() >= 64, every=0)
    for client in clients:
        client.close()
    wait_for(lambda: rows() == 0)
    assert service.metric("spirale_cancelled_total") > 0


def test_sighup_serves_what_has_been_added(start_service, tiny, tmp_path):
    service = start_service(*tiny)
    service.wait_until_ready()
    assert httpx.post(f"{service.url}/sample", json={"dataset": "spiral"}).status_code == 404
    save_tiny(tmp_path, POINTS)
    [pid] = re.findall(r"Started server process \[(\d+)\]", "".join(service.log))  # as README says where it is
    os.kill(int(pid), signal.SIGHUP)
    wait_for(lambda: httpx.post(f"{service.url}/sample", json={"dataset": "spiral"}).status_code == 200)
    assert any("reloaded" in line for line in service.log)


def test_sigterm_finishes_what_was_accepted_and_exits_cleanly(start_service, tiny):
    service = start_service(*tiny)
    service.wait_until_ready()
    with httpx.Client(base_url=service.url, timeout=60) as client:
        request = client.build_request("POST", "/sample", json={"dataset": "mnist", "n": 64, "steps": 50})
        answers = []
        asking = threading.Thread(target=lambda: answers.append(client.send(request)))
        asking.start()
        time.sleep(0.3)
        service.popen.send_signal(signal.SIGTERM)
        asking.join(60)
    assert answers[0].status_code == 200
    assert service.wait(30) == 0


def test_for_a_while_after_sigterm_the_port_answers_503_and_accepted_work_is_done(start_service, tiny):
    service = start_service(*tiny, "--notice-seconds", "3")
    service.wait_until_ready()
    with httpx.Client(base_url=service.url, timeout=60) as client:
        request = client.build_request("POST", "/sample", json={"dataset": "mnist", "n": 64, "steps": 50})
        answers = []
        asking = threading.Thread(target=lambda: answers.append(client.send(request)))
        asking.start()
        wait_for(lambda: service.metric("spirale_rows_active") > 0, every=0.01)
        service.popen.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert "draining" in httpx.get(f"{service.url}/readyz").json()["detail"]
        assert httpx.get(f"{service.url}/healthz").status_code == 200
        refused = httpx.post(f"{service.url}/sample", json={"dataset": "mnist"})
        assert refused.status_code == 503 and refused.headers["content-type"] == "application/problem+json"
        asking.join(60)
    assert answers[0].status_code == 200
    assert service.wait(30) == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{service.url}/readyz")


def test_a_stuck_engine_is_not_ready_and_ends_the_process(start_service, tiny, tmp_path):
    """A tick that never comes back, as a hung driver would make it; the limits are shortened, the rest is the real
    process."""
    (tmp_path / "stuck.py").write_text(
        "import sys, time\n"
        "import service.app, service.routes.health\n"
        "from service.engine.runner import Runner\n"
        "service.routes.health.STALE_HEARTBEAT, service.app.STUCK_SECONDS = 1.0, 3.0\n"
        "Runner.tick = lambda *_: time.sleep(3600)\n"
        "from service.__main__ import main\n"
        "sys.exit(main())\n"
    )
    service = start_service(*tiny, "--drain-seconds", "60", script=tmp_path / "stuck.py")
    service.wait_until_ready()
    asking = threading.Thread(target=_ask_and_be_left_alone, args=(service.url,))
    asking.start()
    answers = []

    def not_ready() -> bool:
        answers.append(httpx.get(f"{service.url}/readyz"))
        return answers[-1].status_code != 200

    wait_for(not_ready)
    assert answers[-1].status_code == 503 and "has not moved" in answers[-1].json()["detail"]
    assert service.wait(20) == 1
    asking.join(10)
    assert "the engine is stuck" in "".join(service.log)


def _ask_and_be_left_alone(url: str) -> None:
    with contextlib.suppress(httpx.TransportError):
        httpx.post(f"{url}/sample", json={"dataset": "mnist"}, timeout=60)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--port", "seventy"), "port"),
        (("--precision", "float8"), "precision"),
        (("--batch-sizes", "[0, 4]"), "batch"),
        (("--colour", "red"), "colour"),
        (("--checkpoints", "/nonexistent"), "no usable checkpoint in /nonexistent"),
    ],
)
def test_a_setting_that_is_wrong_is_said_without_a_trace(start_service, flags, says):
    service = start_service(*flags)
    assert service.wait() == 2
    log = "".join(service.log)
    assert says in log and "Traceback" not in log


def test_a_port_that_is_taken_is_said_and_the_exit_is_not_clean(start_service, tiny):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        service = start_service(*tiny, "--port", str(taken.getsockname()[1]))
        assert service.wait() != 0
    log = "".join(service.log)
    assert "cannot listen on 127.0.0.1" in log and "Traceback" not in log


def test_the_log_is_an_object_a_line_and_tells_neither_what_was_asked_nor_the_key(start_service, tiny):
    service = start_service(*tiny, "--log-format", "json", "--api-key", "sesame")
    service.wait_until_ready()
    key, body = {"Authorization": "Bearer sesame", "X-Request-ID": "mine"}, {"dataset": "mnist", "model": "blackbird"}
    assert httpx.post(f"{service.url}/sample", json=body, headers=key).status_code == 404
    assert httpx.get(f"{service.url}/sample?dataset=mnist&model=blackbird", headers=key).status_code == 404
    assert httpx.get(f"{service.url}/models", headers={"Authorization": "Bearer nightingale"}).status_code == 401
    assert httpx.post(f"{service.url}/sample", content=b"{blackbird", headers=key).status_code == 415
    assert service.end(signal.SIGTERM) == 0
    lines = [json.loads(line) for line in service.log]
    assert all({"event", "level", "timestamp"} <= line.keys() for line in lines)
    asked = [line for line in lines if line["event"] == "request" and line["path"] in ("/sample", "/models")]
    assert [(line["method"], line["status"]) for line in asked] == [
        ("POST", 404), ("GET", 404), ("GET", 401), ("POST", 415)
    ]  # fmt: skip
    assert [line["request_id"] for line in asked if line["path"] == "/sample"] == ["mine"] * 3
    for secret in ("sesame", "blackbird", "nightingale"):
        assert secret not in "".join(service.log)
