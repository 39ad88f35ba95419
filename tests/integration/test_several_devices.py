"""A service on several devices: it answers while one of them lives."""

from functools import partial

from service.engine.worker import Worker
from tests.cores import TWO, needs_two_cores
from tests.waiting import wait_for

pytestmark = needs_two_cores
POINTS = {"dataset": "spiral", "n": 40, "steps": 6, "seed": 7}


def die(*_):
    raise SystemExit("killed")


def die_or_tick(died: list[Worker], worker: Worker, tick, *arguments):
    """The first worker that ticks dies."""
    if not died:
        died.append(worker)
        die()
    return tick(*arguments)


def test_it_answers_and_goes_on_with_jobs_while_one_device_lives(make_client, tmp_path):
    alone = make_client(jobs_dir=tmp_path / "alone")
    expected = alone.post("/sample", json=POINTS, headers={"Accept": "text/csv"}).content
    files = files_of(alone)

    client = make_client(device=TWO, jobs_dir=tmp_path / "two")
    first, second = client.app.state.spirale.engine._workers
    wait_for(lambda: first.loaded and second.loaded, every=0.02)
    assert client.get("/models").json()["device"] == TWO.replace(",", ", ")
    died: list[Worker] = []
    for worker in (first, second):  # which one gets a chunk first is the clock's choice: that one dies of it
        worker._runner.tick = partial(die_or_tick, died, worker, worker._runner.tick)
    assert files_of(client) == files
    (dead,) = died
    living = second if dead is first else first
    for _ in range(3):
        answer = client.post("/sample", json=POINTS, headers={"Accept": "text/csv"})
        assert (answer.status_code, answer.content) == (200, expected)
    assert dead.ended and client.get("/readyz").status_code == 200
    text = client.get("/metrics").text
    for worker in (first, second):
        assert f'spirale_engine_heartbeat_age_seconds{{device="{worker.name}"}}' in text

    living._runner.tick = die
    assert client.post("/sample", json=POINTS).status_code == 503
    wait_for(lambda: living.ended, every=0.02)
    told = client.get("/readyz")
    assert told.status_code == 503 and "the engine died" in told.text


def files_of(client) -> dict[str, str]:
    """Of a job of four chunks: hash by name."""
    asked = {"dataset": "spiral", "n": 64, "steps": 6, "seed": 3, "format": "csv", "rows_per_file": 16}
    job = client.post("/jobs", json=asked).json()["id"]
    wait_for(lambda: client.get(f"/jobs/{job}").json()["state"] == "done", every=0.05)
    return {file["name"]: file["sha256"] for file in client.get(f"/jobs/{job}/files").json()["files"]}
