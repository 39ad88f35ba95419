"""The real process, over a real socket."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from benchmarks.server import spirale
from service.__main__ import main
from tests.e2e.browser import SECONDS
from tests.e2e.conftest import PROJECT, Process
from tests.tiny import IMAGES, POINTS, save_tiny
from tests.waiting import wait_for


@pytest.fixture
def tiny(tmp_path):
    save_tiny(tmp_path, IMAGES)
    return ("--checkpoints", str(tmp_path))


def test_services_of_tests_and_of_benchmarks_keep_their_jobs_away_from_the_project(start_service, tiny):
    def folders(service: Process) -> set[Path]:
        """Of the stores of jobs that it has open, once it has made one."""
        job = service.post("/jobs", json={"dataset": "mnist", "n": 2, "steps": 2}).json()["id"]
        wait_for(lambda: service.get(f"/jobs/{job}").json()["state"] == "done")
        # `resolve` leaves a descriptor alone that was closed since it was listed; `readlink` fails there.
        files = [file.resolve() for file in Path(f"/proc/{service.popen.pid}/fd").iterdir()]
        return {file.parent for file in files if file.name == "jobs.sqlite"}

    tested = start_service(*tiny)
    tested.wait_until_ready()
    with spirale(*tiny) as (url, popen):
        found = [folders(tested), folders(Process(popen, url))]
    assert all(len(each) == 1 for each in found) and found[0] != found[1]
    assert not any(folder.is_relative_to(PROJECT) for folder in found[0] | found[1])


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

    wait_for(lambda: service.rows() >= 64, every=0)
    for client in clients:
        client.close()
    wait_for(lambda: service.rows() == 0)
    assert service.metric("spirale_cancelled_total") > 0


@pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare is not installed")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_process_1_ends_by_a_signal_while_it_imports(number, status):
    """As in a container: the kernel throws a signal away for which process 1 has no handler."""
    with subprocess.Popen(
        [
            "unshare",
            "--map-root-user",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            sys.executable,
            "-m",
            "service",
        ],
        cwd=PROJECT,
    ) as unshare:
        try:
            child = Path(f"/proc/{unshare.pid}/task/{unshare.pid}/children")
            wait_for(lambda: child.read_text() or unshare.poll() is not None, every=0.01)
            if unshare.poll() is not None:
                pytest.skip("namespaces are not allowed here")
            process = int(child.read_text())
            # It is at its imports.
            wait_for(lambda: b"torch" in Path(f"/proc/{process}/maps").read_bytes(), every=0.01)
            os.kill(process, number)
            assert unshare.wait(SECONDS) == status
        finally:
            unshare.kill()  # Popen would wait for one that goes on, for ever


def test_sighup_serves_what_has_been_added(start_service, tiny, tmp_path):
    keys = Path(f"{tmp_path}.toml")  # beside the checkpoints
    keys.touch(0o600)
    keys.write_text('keys = [{name = "alice", key = "old"}]')
    service = start_service(*tiny, "--keys-file", str(keys))
    service.wait_until_ready()

    def status(key: str) -> int:
        headers = {"Authorization": f"Bearer {key}"}
        return service.post("/sample", json={"dataset": "spiral"}, headers=headers).status_code

    assert (status("old"), status("new")) == (404, 401)
    save_tiny(tmp_path, POINTS)
    keys.write_text('keys = [{name = "alice", key = "new"}]')
    [pid] = re.findall(
        r"Started server process \[(\d+)\]", "".join(service.log)
    )  # as docs/own-data.md says where it is
    os.kill(int(pid), signal.SIGHUP)
    wait_for(lambda: status("new") == 200)
    assert any("reloaded" in line for line in service.log) and status("old") == 401


@contextlib.contextmanager
def at_work(service: Process, steps: int = 150) -> Iterator[list[httpx.Response]]:
    """Meanwhile the service is at work for somebody; by the end it has answered, with what is in the list."""
    answers: list[httpx.Response] = []
    fields = {"dataset": "mnist", "n": 64, "steps": steps}
    asking = threading.Thread(target=lambda: answers.append(service.post("/sample", json=fields)))
    asking.start()
    wait_for(lambda: service.metric("spirale_rows_active") > 0, every=0.01)
    yield answers
    asking.join(SECONDS)


def test_sigterm_finishes_what_was_accepted_and_exits_cleanly(start_service, tmp_path):
    save_tiny(tmp_path, IMAGES, T=1000)
    service = start_service("--checkpoints", str(tmp_path), "--drain-seconds", "300")
    service.wait_until_ready()
    with at_work(service) as answers:
        service.popen.send_signal(signal.SIGTERM)
    assert [answer.status_code for answer in answers] == [200]
    assert service.wait() == 0


def test_what_is_not_done_when_the_drain_ends_is_answered_503(start_service, tmp_path):
    save_tiny(tmp_path, IMAGES, T=1000)
    service = start_service("--checkpoints", str(tmp_path), "--drain-seconds", "0")
    service.wait_until_ready()
    with at_work(service, steps=1000) as answers:
        service.popen.send_signal(signal.SIGTERM)
    assert [answer.status_code for answer in answers] == [503]
    assert answers[0].json()["detail"].startswith("the server stopped before this was done")
    assert service.wait() == 0
    assert "Traceback" not in "".join(service.log)


def test_from_sigterm_to_the_end_of_its_notice_the_port_answers_503_and_accepted_work_is_done(start_service, tmp_path):
    save_tiny(tmp_path, IMAGES, T=1000)
    service = start_service("--checkpoints", str(tmp_path), "--notice-seconds", "3600")
    service.wait_until_ready()
    with at_work(service) as answers:
        service.popen.send_signal(signal.SIGTERM)
        wait_for(lambda: service.get("/readyz").status_code == 503)
        assert "draining" in service.get("/readyz").json()["detail"]
        assert service.get("/healthz").status_code == 200
        refused = service.post("/sample", json={"dataset": "mnist"})
        assert refused.status_code == 503 and refused.headers["content-type"] == "application/problem+json"
    assert [answer.status_code for answer in answers] == [200]
    assert service.end(signal.SIGTERM) == 0  # a second one ends the notice
    with pytest.raises(httpx.ConnectError):
        service.get("/readyz")


def test_a_stuck_engine_is_not_ready_and_ends_the_process(start_service, tiny, tmp_path):
    """A tick that never comes back, as a hung driver would make it; the limits are shortened, the rest is the real
    process."""
    (tmp_path / "stuck.py").write_text(
        "import sys, time\n"
        "import service.app, service.engine.engine, service.routes.health\n"
        "from service.engine.runner import Runner\n"
        "service.routes.health.STALE_HEARTBEAT, service.app.STUCK_SECONDS = 1.0, 3.0\n"
        "service.engine.engine.ABORT_SECONDS = 0.5\n"
        "Runner.tick = lambda *_: time.sleep(3600)\n"
        "from service.__main__ import main\n"
        "sys.exit(main())\n"
    )
    service = start_service(*tiny, "--drain-seconds", "60", script=tmp_path / "stuck.py")
    service.wait_until_ready()
    asking = threading.Thread(target=_ask_and_be_left_alone, args=(service,))
    asking.start()
    answers = []

    def not_ready() -> bool:
        answers.append(service.get("/readyz"))
        return answers[-1].status_code != 200

    wait_for(not_ready)
    assert answers[-1].status_code == 503 and "has not moved" in answers[-1].json()["detail"]
    assert service.wait() == 1
    asking.join(SECONDS)
    assert "the engine is stuck" in "".join(service.log)


def _ask_and_be_left_alone(service: Process) -> None:
    with contextlib.suppress(httpx.TransportError):
        service.post("/sample", json={"dataset": "mnist"})


def test_what_stops_the_start_ends_the_process_and_is_said_without_a_trace(start_service):
    service = start_service("--checkpoints", "/nonexistent")
    assert service.wait() == 2
    log = "".join(service.log)
    assert "no usable checkpoint in /nonexistent" in log and "Traceback" not in log


@pytest.mark.parametrize(("flag", "value"), [("port", "seventy"), ("colour", "red")])
def test_a_setting_that_is_wrong_is_named_and_the_status_is_2(monkeypatch, capfd, flag, value):
    monkeypatch.setattr(sys, "argv", ["service", f"--{flag}", value])
    monkeypatch.setattr("service.__main__.write_what_can_be_written", lambda: None)  # it is for the whole process
    with pytest.raises(SystemExit) as ended:
        sys.exit(main())
    assert ended.value.code == 2
    assert flag in capfd.readouterr().err


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
    assert service.post("/sample", json=body, headers=key).status_code == 404
    assert service.get("/sample?dataset=mnist&model=blackbird", headers=key).status_code == 404
    assert service.get("/models", headers={"Authorization": "Bearer nightingale"}).status_code == 401
    assert service.post("/sample", content=b"{blackbird", headers=key).status_code == 415
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
