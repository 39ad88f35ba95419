"""A server as a process of its own, on a free port of 127.0.0.1."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

import httpx

READY_SECONDS = 600  # a busy machine takes minutes


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextlib.contextmanager
def serving(
    *command: str,
    port: int,
    ready: str = "/readyz",
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """(url, process) while `python …command` serves there; it is ended, with all that it started, on the way out.

    It is started in `folder`, by default the current one.
    """
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, *command],
            env={**os.environ, **(environment or {})},
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        url = f"http://127.0.0.1:{port}"
        try:
            _wait(process, url + ready, log)
            yield url, process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 15)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(15)
                os.killpg(process.pid, 9)
            process.wait()


@contextlib.contextmanager
def spirale(*flags: str, folder: Path | None = None) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The service; of the checkout in `folder`, with that one's code and checkpoints, where it is given.

    Its jobs are kept in a folder of their own, unless the flags name one.
    """
    port = free_port()
    code: Mapping[str, str] = {}
    if folder is not None:
        flags, code = (*flags, "--checkpoints", str(folder / "checkpoints")), own_code(folder)
    command = ("-m", "service", "--port", str(port), "--notice-seconds", "0", *flags)
    with tempfile.TemporaryDirectory() as jobs:
        environment = {**code, "SPIRALE_JOBS_DIR": jobs}  # an older checkout that knows no jobs would refuse a flag
        with serving(*command, port=port, environment=environment, folder=folder) as served:
            yield served


def own_code(folder: Path) -> Mapping[str, str]:
    """The environment in which Python, started in a checkout, imports that checkout's packages before all others."""
    return {"PYTHONPATH": str(folder), "PYTHONSAFEPATH": ""}


def _wait(process: subprocess.Popen[bytes], url: str, log: IO[bytes]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url).status_code == 200:
                return
        time.sleep(0.1)
    log.seek(0)
    raise SystemExit(f"the server was not ready:\n{log.read().decode(errors='replace')[-3000:]}")
