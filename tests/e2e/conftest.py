import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.e2e.browser import CHROMIUM, NEEDED, SECONDS, Visit, visits

PROJECT = Path(__file__).parents[2]


def free_ports(count: int) -> list[int]:
    """Of 127.0.0.1, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@dataclass
class Process:
    """A running `python -m service` on a free port of 127.0.0.1."""

    popen: subprocess.Popen
    url: str = ""
    log: list[str] = field(default_factory=list)

    def __post_init__(self):
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            assert self.popen.poll() is None, "".join(self.log)
            with contextlib.suppress(httpx.TransportError):
                if self.url and self.get("/readyz").status_code == 200:
                    return
            time.sleep(0.1)
        raise AssertionError("not ready:\n" + "".join(self.log))

    def get(self, path: str, **options) -> httpx.Response:
        return httpx.get(self.url + path, **{"timeout": SECONDS, **options})

    def post(self, path: str, **options) -> httpx.Response:
        return httpx.post(self.url + path, **{"timeout": SECONDS, **options})

    def metric(self, name: str) -> float:
        """Its value, or without labels the sum of all; 0 for labels that nothing has been counted with yet."""
        labels = "" if "{" in name else r"(?:\{.*\})?"
        found = re.findall(rf"^{re.escape(name)}{labels} (\S+)$", self.get("/metrics").text, re.MULTILINE)
        assert found or "{" in name, f"there is no metric {name}"
        return sum(map(float, found))

    def rows(self) -> float:
        """That it holds, in work or waiting."""
        return self.metric("spirale_rows_active") + self.metric("spirale_rows_queued")

    def end(self, number: signal.Signals = signal.SIGKILL) -> int:
        self.popen.send_signal(number)
        return self.wait()

    def wait(self, seconds: float = SECONDS) -> int:
        """Its status; all that it said is in `log` by then."""
        status = self.popen.wait(seconds)
        self._reader.join(seconds)
        return status

    def _read(self) -> None:
        for line in self.popen.stderr or ():  # none where it writes to a file
            self.log.append(line)
            found = re.search(r"running on (http://127\.0\.0\.1:\d+)", line)
            if found:
                self.url = found[1]


@contextlib.contextmanager
def services() -> Iterator[Callable[..., Process]]:
    """What starts the service with these flags; what was started is ended. Each has a folder of jobs of its own."""

    def start(*flags: str, script: Path | None = None) -> Process:
        program = ["-m", "service"] if script is None else [str(script)]
        popen = subprocess.Popen(
            [sys.executable, *program, "--port", "0", "--device", "cpu", "--threads", "1", *flags],
            cwd=PROJECT,
            env=os.environ | {"PYTHONPATH": str(PROJECT), "SPIRALE_JOBS_DIR": tempfile.mkdtemp(dir=folder)},
            stderr=subprocess.PIPE,
            text=True,
        )
        process = Process(popen)
        started.callback(process.end)
        return process

    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as started:
        yield start


@pytest.fixture
def start_service() -> Iterator[Callable[..., Process]]:
    with services() as start:
        yield start


@pytest.fixture(scope="session")
def shipped() -> Iterator[Process]:
    """The service of the shipped checkpoints, which nobody changes. It refuses nothing, however slow the machine."""
    with services() as start:
        service = start("--max-queued-seconds", "3600", "--deadline-seconds", "3600")
        service.wait_until_ready()
        yield service


@pytest.fixture(scope="module")
def visit() -> Iterator[Callable[..., Visit]]:
    """Open a page of a running service in a browser, with these options of a browser context."""
    if not CHROMIUM.is_file():
        leave = pytest.fail if NEEDED else pytest.skip
        leave(f"there is no {CHROMIUM}: install Debian's package chromium")
    with visits() as open_page:
        yield open_page
