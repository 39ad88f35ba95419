"""Jobs of real processes that are killed: every row once, and the bytes of a run that nobody disturbed."""

import contextlib
import csv
import hashlib
import io
import random
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from service.jobs.store import LEASE_SECONDS
from tests.e2e.conftest import Process
from tests.postgres import postgres_server
from tests.tiny import POINTS, save_tiny
from tests.waiting import wait_for

pytestmark = pytest.mark.slow

KILLS = 50
BODY = {"dataset": "spiral", "label": "balanced", "seed": 2**63 - 5, "steps": 10, "format": "csv"}


@pytest.fixture
def start(start_service, tmp_path) -> Callable[..., Process]:
    save_tiny(tmp_path / "checkpoints", POINTS)

    def started(*flags: str) -> Process:
        return start_service("--checkpoints", str(tmp_path / "checkpoints"), "--jobs-dir", str(tmp_path), *flags)

    return started


def job_of(service: Process, job: str) -> dict:
    return service.get(f"/jobs/{job}").json()


def files_of(service: Process, job: str) -> dict[str, bytes]:
    """The content of every file that can be seen, each as its listing has it."""
    found = {}
    for one in service.get(f"/jobs/{job}/files").json()["files"]:
        found[one["name"]] = service.get(f"/jobs/{job}/files/{one['name']}").content
        assert hashlib.sha256(found[one["name"]]).hexdigest() == one["sha256"]
    return found


def wait_for_progress(service: Process, job: str) -> int:
    """Until it has made another chunk, or there is nothing left to make. How many rows are done then."""
    before = job_of(service, job)
    wait_for(lambda: before["state"] == "done" or job_of(service, job)["rows_done"] > before["rows_done"], every=0.02)
    return job_of(service, job)["rows_done"]


def seeds_in(files: dict[str, bytes]) -> list[int]:
    return [
        int(line["seed"]) for one in files.values() for line in csv.DictReader(io.StringIO(one.decode(), newline=""))
    ]


def test_fifty_kills_lose_no_row_and_change_no_byte(start, tmp_path):
    draw = random.Random(0)
    service = start()
    service.wait_until_ready()
    body = BODY | {"n": 300_000, "rows_per_file": 500}  # more than the processes that are killed can make
    job = service.post("/jobs", json=body).json()["id"]
    progress = []
    for _ in range(KILLS):
        if draw.random() < 0.3:  # whatever it is doing
            time.sleep(draw.uniform(0, 5))
        else:  # when it has gone on; several deaths in a row without that would end the job
            service.wait_until_ready()
            progress.append(wait_for_progress(service, job))
            time.sleep(draw.uniform(0, 0.3))
        service.end()
        service = start()
    service.wait_until_ready()
    assert job_of(service, job)["state"] in ("running", "done"), service.log
    assert len(set(progress)) > 15, "it was killed at many stages"
    wait_for(lambda: job_of(service, job)["state"] != "running", seconds=600, every=0.5)
    assert job_of(service, job)["state"] == "done"
    killed = files_of(service, job)
    assert seeds_in(killed) == [(body["seed"] + row) % 2**63 for row in range(body["n"])]
    again = service.post("/jobs", json=body).json()["id"]
    wait_for(lambda: job_of(service, again)["state"] == "done", seconds=600, every=0.5)
    assert files_of(service, again) == killed
    wait_for(lambda: len(list((tmp_path / "jobs" / job).iterdir())) == len(killed), seconds=10)
    service.end()
    with contextlib.closing(sqlite3.connect(tmp_path / "jobs.sqlite")) as store:
        assert store.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        (fence,) = store.execute("SELECT fence FROM jobs WHERE id = ?", [job]).fetchone()
        assert fence > 15, "many processes had it"


def test_of_two_services_on_one_postgres_the_other_takes_over_within_the_lease(start, tmp_path):
    with postgres_server() as address:
        services = [start("--jobs", address) for _ in range(2)]
        for service in services:
            service.wait_until_ready()
        body = BODY | {"n": 100_000, "rows_per_file": 250}
        job = services[0].post("/jobs", json=body).json()["id"]
        wait_for(lambda: job_of(services[0], job)["rows_done"], every=0.1)
        claims = ["".join(service.log).count("job claimed") for service in services]
        assert sorted(claims) == [0, 1]
        services[claims.index(1)].end()
        (other,) = [service for service in services if service.popen.poll() is None]
        done = job_of(other, job)["rows_done"]
        assert done < body["n"]
        wait_for(lambda: job_of(other, job)["rows_done"] > done, seconds=LEASE_SECONDS + 10, every=0.2)
        wait_for(lambda: job_of(other, job)["state"] == "done", seconds=600, every=0.5)
        assert seeds_in(files_of(other, job)) == [(body["seed"] + row) % 2**63 for row in range(body["n"])]


def test_a_store_that_is_gone_for_a_while_stops_no_request(start, tmp_path: Path):
    with contextlib.ExitStack() as first:
        address = first.enter_context(postgres_server())
        service = start("--jobs", address)
        service.wait_until_ready()
        job = service.post("/jobs", json=BODY | {"n": 100_000, "rows_per_file": 250}).json()["id"]
        wait_for(lambda: job_of(service, job)["rows_done"], every=0.1)
        first.close()
        gone = service.get(f"/jobs/{job}")
        assert gone.status_code == 503 and "store of jobs" in gone.json()["detail"]
        assert service.get("/sample?dataset=spiral&n=10").status_code == 200
        assert service.get("/readyz").status_code == 200
