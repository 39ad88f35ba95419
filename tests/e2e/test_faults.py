"""What goes wrong around a service, done to the real process: nothing that was accepted is lost, and nothing hangs."""

import contextlib
import json
import random
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from model.checkpoints.base import save_checkpoint
from tests.e2e.browser import SECONDS
from tests.e2e.conftest import PROJECT, Process, free_ports
from tests.tiny import IMAGES, POINTS, save_tiny, tiny_checkpoint
from tests.waiting import wait_for

pytestmark = pytest.mark.slow

CLIENTS = 8
# As a stream some 20 MB, more than a kernel keeps for somebody who does not read.
LARGE = {"dataset": "spiral", "n": 10_000, "steps": 50, "previews": 50}
NPY = {"Accept": "application/x-npy"}


@pytest.fixture
def folder(tmp_path) -> Path:
    for data in (IMAGES, POINTS):
        save_tiny(tmp_path / "checkpoints", data)
    return tmp_path / "checkpoints"


@pytest.fixture
def start(start_service, folder) -> Callable[..., Process]:
    """The service over tiny checkpoints, ready, with these flags."""

    def ready(*flags: str, **options) -> Process:
        service = start_service("--checkpoints", str(folder), *flags, **options)
        service.wait_until_ready()
        return service

    return ready


def wanted(seed: int) -> dict:
    """A request, the same for the same seed."""
    draw = random.Random(seed)
    return {
        "dataset": "mnist",
        "seed": seed,
        "n": draw.randint(1, 16),
        "steps": draw.randint(1, 50),
        "sampler": draw.choice(["ddpm", "ddim", "dpmpp-2m"]),
        "label": draw.choice([None, *range(10)]),
    }


@contextlib.contextmanager
def load(work: Callable[[httpx.Client, int], None]) -> Iterator[None]:
    """Each of CLIENTS does `work(client, its number)` again and again, meanwhile. What one raises is raised."""
    over, raised = threading.Event(), []

    def go_on(number: int) -> None:
        with httpx.Client(timeout=SECONDS) as client:
            while not over.is_set():
                try:
                    work(client, number)
                except BaseException as error:
                    raised.append(error)
                    return

    threads = [threading.Thread(target=go_on, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(2 * SECONDS)
    if raised:
        raise raised[0]
    assert not any(thread.is_alive() for thread in threads), "a client hangs"


def connect(service: Process, sent: bytes = b"", receive_buffer: int | None = None) -> socket.socket:
    client = socket.socket()
    if receive_buffer is not None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.settimeout(60)
    client.connect(("127.0.0.1", int(service.url.rsplit(":", 1)[1])))
    client.sendall(sent)
    return client


def post(fields: dict, accept: str = "*/*") -> bytes:
    body = json.dumps(fields)
    head = f"POST /sample HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAccept: {accept}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def works(service: Process) -> bool:
    try:
        answer = httpx.post(f"{service.url}/sample", json={"dataset": "mnist", "label": 7}, timeout=SECONDS)
    except (httpx.NetworkError, httpx.RemoteProtocolError):  # a timeout is a hang, and raised
        return False
    return answer.status_code == 200


def holds_no_rows(service: Process) -> bool:
    return service.metric("spirale_rows_active") + service.metric("spirale_rows_queued") == 0


def given_up(service: Process) -> float:
    """Requests whose client did not stay for the answer."""
    return service.metric('spirale_requests_total{dataset="spiral",outcome="cancelled"}')


def test_killed_and_restarted_under_load_the_same_seed_gives_the_same_bytes(start):
    [port] = free_ports(1)
    service = start("--port", str(port))
    found: dict[int, list[bytes]] = {}
    lost = 0

    def ask_until_answered(client: httpx.Client, number: int) -> None:
        nonlocal lost
        seed = random.randrange(40)
        while True:
            with contextlib.suppress(httpx.TransportError):
                answer = client.post(f"http://127.0.0.1:{port}/sample", json=wanted(seed), headers=NPY)
                if answer.status_code == 200:
                    found.setdefault(seed, []).append(answer.content)
                    return
                assert answer.status_code == 503, answer.text
            lost += 1
            time.sleep(0.1)

    def enough(answers: int) -> Callable[[], bool]:
        so_far = sum(map(len, found.values()))
        return lambda: sum(map(len, found.values())) >= so_far + answers

    with load(ask_until_answered):
        wait_for(enough(100))
        service.end(signal.SIGKILL)
        service = start("--port", str(port))
        wait_for(enough(100))
    assert lost > 0, "the kill was not felt"
    assert len(found) > 20 and all(len(set(answers)) == 1 for answers in found.values())


def test_sigterm_under_load_loses_nothing_that_was_accepted(start):
    service = start("--log-format", "json")
    answered: dict[str, int | str] = {}

    def ask(client: httpx.Client, number: int) -> None:
        name = f"{number}-{len(answered)}-{random.randrange(10**9)}"
        try:
            fields = wanted(random.randrange(40))
            answer = client.post(f"{service.url}/sample", json=fields, headers=NPY | {"X-Request-ID": name})
            answered[name] = answer.status_code
        except httpx.TransportError as error:
            answered[name] = type(error).__name__
            time.sleep(0.01)

    with load(ask):
        wait_for(lambda: len(answered) > 100)
        assert service.end(signal.SIGTERM) == 0
    logged = {
        line["request_id"]: line["status"]
        for line in map(json.loads, service.log)
        if line["event"] == "request" and line["path"] == "/sample"
    }
    assert set(logged.values()) == {200, 503}
    # Whatever the service has said, the client has heard; whom it has not heard, it has not accepted.
    assert logged == {name: status for name, status in answered.items() if isinstance(status, int)}
    assert set(answered.values()) <= {200, 503, "ConnectError", "RemoteProtocolError", "ReadError", "WriteError"}


def test_checkpoints_replaced_under_load_are_served_whole(start, folder):
    service = start()
    name = "mnist-tiny"
    weights = {}
    for factor in (1.0, 1.1):
        checkpoint = tiny_checkpoint(IMAGES, name)
        for parameter in checkpoint.network.parameters():
            parameter.data.mul_(factor)
        save_checkpoint(folder.parent / str(factor), checkpoint.config, checkpoint.network)
        weights[factor] = (folder.parent / str(factor) / "model.safetensors").read_bytes()
    found: dict[int, set[bytes]] = {}
    answers = 0

    def ask(client: httpx.Client, number: int) -> None:
        nonlocal answers
        seed = random.randrange(10)
        answer = client.post(f"{service.url}/sample", json=wanted(seed), headers=NPY)
        assert answer.status_code == 200, answer.text
        found.setdefault(seed, set()).add(answer.content)
        answers += 1

    def reload(content: bytes, says: str) -> None:
        """Not by a rename: written over in place, as `cp` does."""
        told = sum(says in line for line in service.log)
        (folder / name / "model.safetensors").write_bytes(content)
        service.popen.send_signal(signal.SIGHUP)
        wait_for(lambda: sum(says in line for line in service.log) > told)
        asked = answers
        wait_for(lambda: answers > asked + 30)

    with load(ask):
        for _ in range(3):
            reload(weights[1.1], f"loaded=['{name}']")
            reload(weights[1.1][:5000], "checkpoint left out")
            reload(weights[1.0], f"loaded=['{name}']")
    assert service.popen.poll() is None
    assert len(found) == 10 and all(len(both) == 2 for both in found.values())


def test_a_full_disk_takes_the_log_and_nothing_else(folder):
    [port] = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "service", "--port", str(port), "--checkpoints", str(folder), "--device", "cpu"]
    with open("/dev/full", "w") as full:  # every write fails: no space left on device
        popen = subprocess.Popen(command, cwd=PROJECT, stdout=full, stderr=full)
    service = Process(popen, url)
    try:
        service.wait_until_ready()
        assert works(service)
        assert httpx.post(f"{url}/sample", json={"dataset": "cats"}).status_code == 404
        popen.send_signal(signal.SIGHUP)
        assert works(service)
        assert service.end(signal.SIGTERM) == 0
    finally:
        service.end(signal.SIGKILL)


def test_a_byte_a_second_in_and_out_holds_nobody_up(start):
    service = start("--client-seconds", "4", "--max-queued-seconds", "10000")
    head = b"POST /sample HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n"
    senders = [connect(service) for _ in range(20)] + [connect(service, head) for _ in range(20)]
    readers = [connect(service, post(LARGE, "text/event-stream"), receive_buffer=2048) for _ in range(10)]
    began = time.monotonic()
    open_still = {*senders, *readers}
    while open_still and time.monotonic() < began + 60:
        assert works(service)
        for client in list(open_still):
            try:
                if client in readers:
                    client.recv(1)
                else:
                    client.sendall(b"x")
            except OSError:
                open_still.discard(client)
        if all(client in readers for client in open_still) and holds_no_rows(service):
            break
        time.sleep(1)
    assert not open_still & set(senders)
    wait_for(lambda: given_up(service) == len(readers))
    wait_for(lambda: holds_no_rows(service))
    assert works(service)
    for client in (*senders, *readers):
        client.close()


def test_a_client_that_never_reads_its_stream_is_given_up(start):
    service = start("--client-seconds", "2")
    client = connect(service, post(LARGE, "text/event-stream"), receive_buffer=2048)
    wait_for(lambda: given_up(service) == 1)
    wait_for(lambda: holds_no_rows(service))
    assert works(service)
    assert any("the client does not read" in line for line in service.log)
    client.close()


@pytest.fixture
def many_files() -> Iterator[None]:
    """This process may have 4,500 sockets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4500:
        pytest.skip(f"a process may open only {hard} files here: ulimit -Hn")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4500), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_two_thousand_idle_connections_are_held_and_cost_nothing_else(start, many_files):
    service = start()
    before = service.metric("process_open_fds")
    idle = []
    for number in range(2000):  # silent ones, ones in the midst of a head, ones that have had an answer
        idle.append(connect(service, (b"", b"GET / HT", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")[number % 3]))
    wait_for(lambda: service.metric("process_open_fds") >= before + 2000)
    with httpx.Client(timeout=SECONDS) as client:
        for seed in range(20):
            assert client.post(f"{service.url}/sample", json=wanted(seed)).status_code == 200
    assert httpx.get(f"{service.url}/readyz").status_code == 200
    for client in idle:
        client.close()
    wait_for(lambda: service.metric("process_open_fds") <= before + 5)


def test_more_connections_than_there_may_be_push_out_the_oldest(start, many_files):
    service = start("--max-connections", "500")
    idle = [connect(service) for _ in range(2000)]
    assert works(service)
    wait_for(lambda: service.metric("process_open_fds") < 600)
    assert idle[0].recv(1) == b""
    for client in idle:
        client.close()


DYING = """
import sys
from service.engine.runner import Runner
def tick(*_):
    raise SystemExit("the driver is gone")
Runner.tick = tick
from service.__main__ import main
sys.exit(main())
"""


def test_an_engine_that_raises_ends_the_process_and_whoever_waits_is_told(start, tmp_path):
    (tmp_path / "dying.py").write_text(DYING)
    service = start(script=tmp_path / "dying.py")
    answer = httpx.post(f"{service.url}/sample", json={"dataset": "mnist"}, timeout=60)
    assert answer.status_code == 503 and "the engine stopped" in answer.json()["detail"]
    assert service.wait(30) == 1
    assert any("the engine died" in line for line in service.log)


CRAMPED = """
import re, resource, sys
import service.app
from service.engine.worker import Worker
serve, ballast = Worker._serve, []
def cramped(self):
    taken = int(re.search(r"VmSize:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024
    resource.setrlimit(resource.RLIMIT_AS, (taken, taken))
    try:
        while True:
            ballast.append(bytearray(1 << 20))
    except MemoryError:
        del ballast[-4:]
    serve(self)
Worker._serve = cramped
from service.__main__ import main
sys.exit(main())
"""


def test_memory_that_runs_out_is_answered_or_ends_the_process_but_nothing_hangs(start, tmp_path):
    """4 MiB are free; a container's limit is in test_compose.py."""
    (tmp_path / "cramped.py").write_text(CRAMPED)
    service = start(script=tmp_path / "cramped.py")
    statuses: list[int | str] = []

    def ask(client: httpx.Client, number: int) -> None:
        try:
            fields = (
                {"dataset": "mnist", "n": 64, "zoom": 16, "steps": 50}
                if number % 2
                else {"dataset": "spiral", "n": 10_000}
            )
            statuses.append(client.post(f"{service.url}/sample", json=fields).status_code)
        except httpx.TransportError as error:
            assert not isinstance(error, httpx.TimeoutException), "an answer hangs"
            statuses.append(type(error).__name__)
            time.sleep(0.05)

    with load(ask):
        time.sleep(10)
    wait_for(lambda: service.popen.poll() is not None or works(service))
    if service.popen.poll() is None:
        assert service.end(signal.SIGTERM) == 0
    else:
        assert service.popen.returncode != 0
    assert set(statuses) != {200}, "there was memory enough"
