"""PostgreSQL's own server, for the length of a test, where this machine has its binaries."""

import contextlib
import getpass
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

OTHER_USER = "postgres"  # whom Debian's package adds: the server refuses to run as root


@contextlib.contextmanager
def postgres_server() -> Iterator[str]:
    """Its address, of an empty database; skips where there is no server."""
    binaries = [*Path("/usr/lib/postgresql").glob("*/bin"), *map(Path, os.get_exec_path())]
    found = next(
        (folder for folder in binaries if (folder / "initdb").exists() and (folder / "postgres").exists()), None
    )
    if found is None:
        pytest.skip("PostgreSQL's initdb and postgres are not here")
    user = None
    if os.geteuid() == 0:
        try:
            user = pwd.getpwnam(OTHER_USER)
        except KeyError:
            pytest.skip("this runs as root, and there is no user postgres")
    folder = Path(tempfile.mkdtemp(prefix="spirale-postgres-"))
    as_user = {} if user is None else dict(user=user.pw_uid, group=user.pw_gid, extra_groups=[])
    try:
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
        data, me = folder / "data", getpass.getuser() if user is None else OTHER_USER
        made = [found / "initdb", "-D", data, "-U", me, "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"]
        subprocess.run(made, check=True, capture_output=True, cwd=folder, **as_user)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        serve = [found / "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", folder, "-F"]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(serve, stdout=log, stderr=log, cwd=folder, **as_user)
        try:
            wait_for_port(port, server)
            yield f"postgresql://{me}@127.0.0.1:{port}/postgres"
        finally:
            server.send_signal(2)  # fast: it does not wait for clients
            server.wait(20)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def wait_for_port(port: int, server: subprocess.Popen[bytes]) -> None:
    import psycopg

    for _ in range(400):
        assert server.poll() is None, "the server ended"
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(host="127.0.0.1", port=port, user=OTHER_USER if os.geteuid() == 0 else getpass.getuser(),
                            dbname="postgres", connect_timeout=2).close()  # fmt: skip
            return
        time.sleep(0.05)
    raise AssertionError("the server did not start")
