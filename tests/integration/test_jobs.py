"""POST /jobs and what follows: rows are those of /sample, files are what was asked for, bad requests are told so."""

import asyncio
import contextlib
import csv
import io
import json
import os
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
import torch
from fastapi.testclient import TestClient
from PIL import Image

from model.checkpoints.base import save_checkpoint
from model.checkpoints.judge import JudgeConfig, load_judge, save_judge
from model.checkpoints.training_rows import TRAINING_ROWS, TrainingRows, save_training_rows
from service.app import create_app
from service.jobs.data_set_folder import DataSetFolder
from service.jobs.job_answers import job_answer
from service.jobs.results import FolderResults
from service.jobs.store_tables import jobs as stored
from service.jobs.webhooks import signature
from service.offline import main
from service.requests.begin import as_image
from service.settings import Settings
from tests.integration.conftest import wait_until_ready
from tests.tiny import IMAGES, POINTS, save_tiny, tiny_checkpoint
from tests.waiting import wait_for

GREY = np.add.outer(np.arange(8), np.arange(8)).astype(np.uint8) * 17
PICTURE, MASK = (as_image(pixels) for pixels in (GREY, np.where(GREY > 100, 255, 0).astype(np.uint8)))


@contextlib.contextmanager
def client_of(checkpoints: Path, folder: Path) -> Iterator[TestClient]:
    """Of a service whose jobs are in that folder."""
    app = create_app(Settings(checkpoints=checkpoints, device="cpu", jobs_dir=folder))
    with TestClient(app, raise_server_exceptions=False) as client:
        wait_until_ready(client)
        yield client


@pytest.fixture(scope="module")
def jobs(checkpoints, tmp_path_factory):
    with client_of(checkpoints, tmp_path_factory.mktemp("data")) as client:
        yield client


def test_a_job_of_a_test_leaves_no_data_beside_the_project(make_client, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    finished(make_client(), dataset="spiral", n=4, steps=2)
    assert not any(tmp_path.iterdir())


def finished(client, **body) -> dict:
    """A job that was asked for, when it is over."""
    answer = client.post("/jobs", json=body)
    assert answer.status_code == 202, answer.text
    address = str(answer.url.join(answer.headers["Location"]))
    assert answer.headers["Location"] == f"jobs/{answer.json()['id']}"  # relative: true under any proxy's path
    wait_for(lambda: client.get(address).json()["state"] not in ("queued", "running"), seconds=60, every=0.02)
    return client.get(address).json()


def content(client, job: dict) -> dict[str, bytes]:
    listed = client.get(f"/jobs/{job['id']}/files").json()["files"]
    found = {one["name"]: client.get(f"/jobs/{job['id']}/files/{one['name']}").content for one in listed}
    assert [len(one) for one in found.values()] == [one["bytes"] for one in listed]
    return found


def test_every_row_is_the_one_that_sample_gives_for_its_seed_and_label(jobs):
    job = finished(jobs, dataset="mnist", label={"7": 3, "2": 4}, seed=5, rows_per_file=3, steps=2)
    assert (job["state"], job["rows"], job["rows_done"], job["error"]) == ("done", 7, 7, None)
    files = content(jobs, job)
    assert list(files) == ["part-00000.parquet", "part-00001.parquet", "part-00002.parquet"]
    rows = [row for one in files.values() for row in pq.read_table(io.BytesIO(one)).to_pylist()]
    assert [row["seed"] for row in rows] == list(range(5, 12))
    assert Counter(row["label"] for row in rows) == {7: 3, 2: 4}
    sampled = jobs.post(
        "/sample",
        json={"dataset": "mnist", "label": [row["label"] for row in rows], "seed": 5, "steps": 2},
        headers={"Accept": "application/x-npy"},
    )
    expected = np.load(io.BytesIO(sampled.content))
    assert [np.asarray(Image.open(io.BytesIO(row["image"]["bytes"]))).tolist() for row in rows] == expected.tolist()


@pytest.mark.parametrize(
    "edit",
    [
        {"init": {"image": PICTURE, "strength": 0.6}},
        {"init": {"image": PICTURE}, "mask": {"image": MASK}, "resample": 2},
        {"variations_of": {"seed": 9, "amount": 0.4}},
        {"dataset": "spiral", "given": {"x": 0.5}, "resample": 3},
    ],
)
def test_rows_begin_from_what_samples_begin_from(jobs, edit):
    """Bytes of the parts that are kept, too; a chunk is made as if it were alone."""
    body = {"dataset": "mnist", "n": 7, "seed": 2**63 - 3, "label": 1, "steps": 4} | edit
    job = finished(jobs, **body, rows_per_file=3, format="npy")
    assert job["state"] == "done", job["error"]
    files = content(jobs, job)
    rows = np.concatenate([np.load(io.BytesIO(files[f"part-{part:05d}.npy"])) for part in range(3)])
    sampled = jobs.post("/sample", json=body, headers={"Accept": "application/x-npy"})
    assert sampled.status_code == 200 and rows.tolist() == np.load(io.BytesIO(sampled.content)).tolist()
    assert len(np.unique(rows, axis=0)) == 7
    assert content(jobs, finished(jobs, **job["request"])) == files


def test_a_jobs_own_request_makes_the_same_files(jobs):
    first = finished(jobs, dataset="spiral", n=50, rows_per_file=16, format="csv", label="balanced")
    again = finished(jobs, **first["request"])
    assert again["id"] != first["id"] and content(jobs, again) == content(jobs, first)
    lines = list(csv.DictReader(io.StringIO(content(jobs, first)["part-00003.csv"].decode())))
    assert len(lines) == 2 and {line["label"] for line in lines} == {"inner", "outer"}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"label": 3, "n": 4}, [3] * 4),
        ({"label": [1, "9", 4]}, [1, 9, 4]),
        ({"label": "balanced", "n": 5}, [0, 1, 2, 3, 4]),
        ({"label": {"1": 2, "8": 1}}, [1, 8, 1]),
    ],
)
def test_labels_in_every_way(jobs, asked, expected):
    job = finished(jobs, dataset="mnist", format="npy", steps=1, **asked)
    files = content(jobs, job)
    assert np.load(io.BytesIO(files["part-00000.labels.npy"])).tolist() == expected
    assert content(jobs, finished(jobs, **job["request"])) == files


def test_a_client_that_is_not_sure_asks_again_with_its_key(jobs):
    body, key = {"dataset": "spiral", "n": 10}, {"Idempotency-Key": "a"}
    first, second = (jobs.post("/jobs", json=body, headers=key) for _ in range(2))
    assert first.status_code == second.status_code == 202 and first.json()["id"] == second.json()["id"]
    other = jobs.post("/jobs", json=body | {"n": 11}, headers=key)
    assert other.status_code == 422 and "another body" in other.json()["detail"]
    assert jobs.post("/jobs", json=body).json()["id"] != first.json()["id"]


def test_jobs_are_listed_from_the_newest_on(jobs):
    ids = [finished(jobs, dataset="spiral", n=1)["id"] for _ in range(3)]
    listed = [job["id"] for job in jobs.get("/jobs?limit=2").json()["jobs"]]
    assert listed == ids[:0:-1]
    assert jobs.get(f"/jobs?limit=1&before={listed[-1]}").json()["jobs"][0]["id"] == ids[0]


def test_a_list_of_jobs_has_no_label_for_each_row(jobs):
    asked = {"label": [1, "9", 4], "steps": 1, "n": 3, "dataset": "mnist"}
    alone = finished(jobs, **asked)
    listed = jobs.get("/jobs?limit=1")
    assert listed.headers["Cache-Control"] == "no-store"
    assert alone["request"].pop("label") == ["1", "9", "4"] and listed.json()["jobs"] == [alone]
    for label in ("balanced", 3, {"1": 3}):
        whole = finished(jobs, **asked | {"label": label})
        assert whole["request"]["label"] == label and jobs.get("/jobs?limit=1").json()["jobs"] == [whole]


def test_a_file_comes_in_ranges_and_not_twice(jobs):
    job = finished(jobs, dataset="spiral", n=100, format="npy")
    (file,) = jobs.get(f"/jobs/{job['id']}/files").json()["files"]
    address = f"/jobs/{job['id']}/files/{file['name']}"
    whole = jobs.get(address)
    assert whole.headers["ETag"] == f'"{file["sha256"]}"' and whole.headers["Accept-Ranges"] == "bytes"
    assert np.load(io.BytesIO(whole.content)).shape == (100, 2)
    for asked, start, stop in (
        ("0-99", 0, 100),
        ("100-", 100, file["bytes"]),
        ("-5", file["bytes"] - 5, file["bytes"]),
    ):
        part = jobs.get(address, headers={"Range": f"bytes={asked}"})
        assert part.status_code == 206 and part.content == whole.content[start:stop]
        assert part.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{file['bytes']}"
    past = jobs.get(address, headers={"Range": f"bytes={file['bytes']}-"})
    assert past.status_code == 416 and past.headers["Content-Range"] == f"bytes */{file['bytes']}"
    assert jobs.get(address, headers={"Range": "bytes=0-4", "If-Range": '"other"'}).content == whole.content
    tag = whole.headers["ETag"]
    for known in (tag, f"W/{tag}", f'"a,b", W/"c" ,{tag}', "*"):
        assert jobs.get(address, headers={"If-None-Match": known}).status_code == 304, known
    assert jobs.get(address, headers=[("If-None-Match", '"a"'), ("If-None-Match", tag)]).status_code == 304
    for other in ('"a"', tag.strip('"'), f'"{tag[1:5]}"', f'"*", "{tag[1:-1]} "'):
        assert jobs.get(address, headers={"If-None-Match": other}).status_code == 200, other
    head = jobs.head(address)
    assert head.content == b"" and head.headers["Content-Length"] == str(file["bytes"])


def test_one_file_is_found_without_reading_a_list_of_all(jobs, monkeypatch):
    job = finished(jobs, dataset="spiral", n=4, rows_per_file=2, format="npy")
    found = content(jobs, job)

    def every_file(*_):
        raise AssertionError("a job may have 100,000")

    monkeypatch.setattr(jobs.app.state.spirale.jobs._live.store, "files", every_file)
    for name, expected in found.items():
        assert jobs.get(f"/jobs/{job['id']}/files/{name}").content == expected
    missing = jobs.get(f"/jobs/{job['id']}/files/part-00002.npy")
    assert missing.status_code == 404 and f"/jobs/{job['id']}/files" in missing.json()["detail"]


def events(client, job: str, last: str | None = None) -> list[tuple[str, str, dict]]:
    headers = {} if last is None else {"Last-Event-ID": last}
    text = client.get(f"/jobs/{job}/events", headers=headers).text
    found = []
    for block in filter(None, text.split("\n\n")):
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        found.append((fields["id"], fields["event"], json.loads(fields["data"])))
    return found


def test_events_end_with_the_state_and_go_on_where_one_left(jobs):
    job = jobs.post("/jobs", json={"dataset": "spiral", "n": 1000, "rows_per_file": 100, "steps": 50}).json()["id"]
    seen = events(jobs, job)
    assert [name for _, name, _ in seen] == ["progress"] * (len(seen) - 1) + ["done"]
    assert [int(number) for number, _, _ in seen] == sorted({int(number) for number, _, _ in seen})
    assert seen[-1][2]["rows_done"] == 1000 and seen[-1][2]["seconds_left"] is None
    assert events(jobs, job, last="1") == seen[-1:]
    assert jobs.get(f"/jobs/{job}/events", headers={"Last-Event-ID": seen[-1][0]}).status_code == 204


def test_the_head_of_events_comes_before_the_job_ends(jobs):
    job = jobs.post("/jobs", json={"dataset": "mnist", "n": 10_000, "rows_per_file": 50, "steps": 50}).json()["id"]
    head = jobs.head(f"/jobs/{job}/events")
    assert head.status_code == 200 and head.headers["Content-Type"].startswith("text/event-stream")
    assert jobs.get(f"/jobs/{job}").json()["state"] in ("queued", "running")
    jobs.delete(f"/jobs/{job}")


def test_a_job_that_another_version_wrote_otherwise_is_answered_as_it_is_stored(jobs):
    job = finished(jobs, dataset="spiral", n=1)
    with jobs.app.state.spirale.jobs._live.store._engine.begin() as connection:
        connection.execute(sa.update(stored).where(stored.c.id == job["id"]).values(specification='{"later": 1}'))
    answers = [jobs.get(f"/jobs/{job['id']}").json(), jobs.get("/jobs?limit=1").json()["jobs"][0]]
    assert answers == [job | {"request": {"later": 1}}] * 2
    assert events(jobs, job["id"])[-1][2] == answers[0]


def test_jobs_are_not_put_into_words_on_the_event_loop(jobs, monkeypatch):
    def beside_the_loop(*arguments, **named):
        with pytest.raises(RuntimeError, match="no running event loop"):
            asyncio.get_running_loop()
        return job_answer(*arguments, **named)

    monkeypatch.setattr("service.routes.data_sets.job_answer", beside_the_loop)
    job = finished(jobs, dataset="spiral", n=1)["id"]
    assert jobs.get("/jobs?limit=1").json()["jobs"][0]["id"] == events(jobs, job)[-1][2]["id"] == job


def test_a_folder_that_cannot_be_deleted_keeps_no_other(make_client, tmp_path, monkeypatch):
    monkeypatch.setattr("service.jobs.live_jobs.UPKEEP_EVERY", 0.05)
    remove, stays = FolderResults.remove, set()

    def some_stay(self, job, *unless):
        if job in stays:
            raise PermissionError(13, os.strerror(13))
        remove(self, job, *unless)

    client = make_client(jobs_dir=tmp_path)
    ids = [finished(client, dataset="spiral", n=1)["id"] for _ in range(6)]
    stays |= set(ids)
    monkeypatch.setattr(FolderResults, "remove", some_stay)
    for job in ids:
        assert client.delete(f"/jobs/{job}").status_code == 204
    stays -= set(ids[::2])
    wait_for(lambda: {path.name for path in (tmp_path / "jobs").iterdir()} == stays, every=0.02)


def test_deleting_ends_a_job_and_its_rows_and_files(jobs):
    job = jobs.post("/jobs", json={"dataset": "mnist", "n": 100_000, "rows_per_file": 50, "steps": 50}).json()["id"]
    wait_for(lambda: jobs.get(f"/jobs/{job}/files").json()["files"], every=0.02)
    folder = jobs.app.state.spirale.jobs.options.jobs_dir / "jobs" / job
    assert folder.exists()
    assert jobs.delete(f"/jobs/{job}").status_code == 204
    assert jobs.get(f"/jobs/{job}").json()["state"] == "cancelled"
    assert jobs.get(f"/jobs/{job}/files").json() == {"files": []}
    wait_for(lambda: not jobs.app.state.spirale.engine._workers[0]._tickets, every=0.01)
    wait_for(lambda: not folder.exists(), every=0.02)
    done = finished(jobs, dataset="spiral", n=10)["id"]
    jobs.delete(f"/jobs/{done}")
    for address in (f"/jobs/{done}", f"/jobs/{done}/files", f"/jobs/{done}/events"):
        assert jobs.get(address).status_code == 410 and "expired" in jobs.get(address).json()["detail"]


@pytest.mark.parametrize(
    ("body", "field", "told"),
    [
        ({"dataset": "mnist"}, "n", "needed: how many rows, 1 … 10,000,000"),
        ({"dataset": "mnist", "n": 10**7 + 1}, "n", "less than or equal to 10000000"),
        ({"dataset": "mnist", "n": 0}, "n", "greater than or equal to 1"),
        ({"dataset": "mnist", "n": 10, "format": "avi"}, "format", "'parquet', 'webdataset'"),
        ({"dataset": "mnist", "n": 10, "format": "csv"}, "format", "one of parquet, webdataset, imagefolder, npy"),
        ({"dataset": "spiral", "n": 10, "format": "webdataset"}, "format", "one of parquet, npy, csv for points"),
        ({"dataset": "mnist", "n": 600, "label": {"7": 300, "8": 200}}, "n", "counts that add up to 500"),
        ({"dataset": "mnist", "n": 3, "label": [7, 8]}, "n", "labels, of which there are 2"),
        ({"dataset": "mnist", "label": {"seven": 300}}, "label", "one of 0, 1, 2"),
        ({"dataset": "mnist", "label": {"7": 1, "7.0": 1}}, "label", "are the same class"),
        ({"dataset": "mnist", "label": {"7": -1}}, "label", "greater than or equal to 0"),
        ({"dataset": "mnist", "label": {"7": 0}}, "label", "1 … 10,000,000 rows in all"),
        ({"dataset": "mnist", "label": {}}, "label", "1 … 10,000,000 rows in all"),
        ({"dataset": "mnist", "label": []}, "label", "1 … 10,000,000 rows in all"),
        ({"dataset": "mnist", "label": [7, "cat"]}, "label", "one of 0, 1, 2"),
        ({"dataset": "mnist", "n": 5, "label": "as trained"}, "label", "does not know its training proportions"),
        ({"dataset": "mnist", "n": 5, "zoom": 2}, "zoom", "does not apply to jobs"),
        ({"dataset": "mnist", "n": 5, "axes": [0, 1]}, "axes", "unknown field"),
        ({"dataset": "mnist", "n": 5, "seed_to": 7}, "seed_to", "depends on how many rows"),
        ({"dataset": "mnist", "n": 5, "mix": 0.5}, "mix", "depends on how many rows"),
        (
            {"dataset": "mnist", "n": 5, "init": {"image": PICTURE, "method": "inversion"}},
            "init.method",
            "noise in jobs",
        ),
        ({"dataset": "mnist", "n": 5, "init": {"image": PICTURE, "strength": 0}}, "init.strength", "above 0"),
        ({"dataset": "mnist", "n": 5, "init": {"image": "a"}}, "init.image", ""),
        ({"dataset": "mnist", "n": 5, "mask": {"image": PICTURE}}, "mask", "needs the picture"),
        ({"dataset": "spiral", "n": 5, "init": {"image": PICTURE}}, "init", "applies to images only"),
        ({"dataset": "spiral", "n": 5, "given": {"z": 1}}, "given", ""),
        ({"dataset": "mnist", "n": 5, "variations_of": {"seed": 1, "amount": 0}}, "variations_of.amount", "above 0"),
        ({"dataset": "mnist", "n": 10**7, "rows_per_file": 1}, "rows_per_file", "at least 100"),
        ({"dataset": "mnist", "n": 10**6, "rows_per_file": 10**6}, "rows_per_file", "at most 262,144"),
        ({"dataset": "mnist", "n": 5, "steps": 51}, "steps", "1 … 50"),
        ({"dataset": "mnist", "n": 5, "prompt": "a seven"}, "prompt", "understands no words"),
    ],
)
def test_what_does_not_fit_is_told_by_field(jobs, body, field, told):
    before = len(jobs.get("/jobs?limit=100").json()["jobs"])
    answer = jobs.post("/jobs", json=body)
    assert answer.status_code == 422 and answer.headers["Content-Type"] == "application/problem+json"
    errors = {one["field"]: one["detail"] for one in answer.json()["errors"]}
    assert told in errors[field], answer.json()
    assert len(jobs.get("/jobs?limit=100").json()["jobs"]) == before


def test_unknown_datasets_jobs_and_files_are_told(jobs):
    assert jobs.post("/jobs", json={"dataset": "cats", "n": 1}).status_code == 404
    for address in ("/jobs/job-unknown", "/jobs/job-unknown/events", "/jobs/job-unknown/files/a", "/jobs/%00"):
        assert jobs.get(address).status_code == 404
    assert jobs.get("/jobs?before=%00").status_code == 422
    assert jobs.delete("/jobs/job-unknown").status_code == 404
    job = finished(jobs, dataset="spiral", n=10)["id"]
    for name in ("part-00001.parquet", "..%2Fjobs.sqlite", "0-1.parquet", "%00"):
        assert jobs.get(f"/jobs/{job}/files/{name}").status_code == 404


def test_a_folder_that_cannot_be_written_refuses_jobs_and_nothing_else(make_client, tmp_path):
    (tmp_path / "file").write_text("")
    client = make_client(jobs_dir=tmp_path / "file")
    for answer in (client.post("/jobs", json={"dataset": "spiral", "n": 1}), client.get("/jobs")):
        assert answer.status_code == 503 and "cannot be written" in answer.json()["detail"]
    assert client.get("/sample?dataset=spiral&n=1").status_code == 200


def test_a_full_disk_pauses_the_job_and_not_the_service(jobs, monkeypatch):
    put, full = FolderResults.put, [True]

    def until_there_is_room(self, job, name, content):
        if full[0]:
            raise OSError(28, os.strerror(28))
        put(self, job, name, content)

    monkeypatch.setattr(FolderResults, "put", until_there_is_room)
    monkeypatch.setattr("service.jobs.producer.AGAIN_AFTER", 0.05)
    job = jobs.post("/jobs", json={"dataset": "spiral", "n": 10}).json()["id"]
    wait_for(lambda: jobs.get(f"/jobs/{job}").json()["paused"], every=0.02)
    paused = jobs.get(f"/jobs/{job}").json()
    assert paused["state"] == "running" and paused["paused"] == "results cannot be written: No space left on device"
    assert jobs.get("/sample?dataset=spiral&n=1").status_code == 200
    full[0] = False
    wait_for(lambda: jobs.get(f"/jobs/{job}").json()["state"] == "done", every=0.02)
    assert jobs.get(f"/jobs/{job}").json()["paused"] is None


def test_results_that_would_take_more_than_is_kept_push_out_the_oldest_job_then_pause(
    make_client, tmp_path, monkeypatch
):
    monkeypatch.setattr("service.jobs.producer.AGAIN_AFTER", 0.05)
    client = make_client(jobs_dir=tmp_path, jobs_keep_bytes=2000)
    body = {"dataset": "spiral", "format": "npy", "label": None, "n": 100}
    first, second = finished(client, **body)["id"], finished(client, **body)["id"]
    third = finished(client, **body)["id"]
    assert client.get(f"/jobs/{first}").status_code == 410
    assert {client.get(f"/jobs/{job}").status_code for job in (second, third)} <= {200, 410}
    large = client.post("/jobs", json=body | {"n": 300}).json()["id"]
    wait_for(lambda: client.get(f"/jobs/{large}").json()["paused"], every=0.02)
    assert "--jobs-keep-bytes 2,000" in client.get(f"/jobs/{large}").json()["paused"]


def test_no_more_jobs_wait_than_the_store_is_to_hold(jobs, monkeypatch):
    key, body = {"Idempotency-Key": "accepted"}, {"dataset": "spiral", "n": 1}
    accepted = jobs.post("/jobs", json=body, headers=key).json()["id"]
    monkeypatch.setattr("service.jobs.live_jobs.MOST_UNFINISHED", 0)
    again = jobs.post("/jobs", json=body, headers=key)
    assert (again.status_code, again.json()["id"]) == (202, accepted)
    answer = jobs.post("/jobs", json={"dataset": "spiral", "n": 1})
    assert answer.status_code == 429 and int(answer.headers["Retry-After"]) > 0
    assert "0 jobs of yours are unfinished" in answer.json()["detail"]
    monkeypatch.setattr("service.jobs.live_jobs.MOST_UNFINISHED", 1000)
    assert jobs.post("/jobs", json={"dataset": "spiral", "n": 1}).status_code == 202
    monkeypatch.setattr("service.jobs.live_jobs.MOST_IN_ALL", 0)
    answer = jobs.post("/jobs", json={"dataset": "spiral", "n": 1})
    assert answer.status_code == 429 and "0 jobs are unfinished" in answer.json()["detail"]


def test_jobs_of_another_key_are_not_there(make_client, tmp_path):
    mine, theirs = (make_client(jobs_dir=tmp_path, api_key=key) for key in ("mine", "theirs"))
    for client, key in ((mine, "mine"), (theirs, "theirs")):
        client.headers["Authorization"] = f"Bearer {key}"
    job = finished(mine, dataset="spiral", n=10)["id"]
    assert theirs.get(f"/jobs/{job}").status_code == 404 and theirs.get("/jobs").json() == {"jobs": []}
    assert theirs.delete(f"/jobs/{job}").status_code == 404 and mine.get(f"/jobs/{job}").status_code == 200


def own_checkpoints(folder, seed: float = 0.0):
    """A checkpoint whose weights can be changed."""
    checkpoint = tiny_checkpoint(POINTS)
    with torch.no_grad():
        next(checkpoint.network.parameters()).add_(seed)
    save_checkpoint(folder / checkpoint.config.name, checkpoint.config, checkpoint.network)
    return folder


def test_weights_that_change_under_way_fail_the_job_with_that_reason(make_client, tmp_path):
    client = make_client(checkpoints=own_checkpoints(tmp_path / "own"), jobs_dir=tmp_path, api_key="key")
    client.headers["Authorization"] = "Bearer key"
    body = {"dataset": "spiral", "n": 10**6, "rows_per_file": 1000, "steps": 50}
    job = client.post("/jobs", json=body).json()["id"]
    wait_for(lambda: client.get(f"/jobs/{job}").json()["rows_done"], every=0.02)
    own_checkpoints(tmp_path / "own", seed=0.1)
    assert client.post("/admin/reload").json()["loaded"] == ["spiral-tiny"]
    wait_for(lambda: client.get(f"/jobs/{job}").json()["state"] == "failed", every=0.02)
    assert client.get(f"/jobs/{job}").json()["error"].startswith("the weights of spiral-tiny changed")
    assert client.get(f"/jobs/{job}/files").json()["files"]


@pytest.mark.parametrize("reproducible", [True, False])
def test_another_process_goes_on_with_the_same_bytes_and_says_where_it_cannot(
    make_client, tmp_path, monkeypatch, reproducible
):
    """The first ends with the job half done; the second computes in the same way, the third in another."""
    body = {"dataset": "spiral", "n": 4000, "rows_per_file": 200, "format": "npy", "steps": 20, "seed": 1}
    first = make_client(jobs_dir=tmp_path)
    job = first.post("/jobs", json=body | {"reproducible": reproducible}).json()
    address = f"/jobs/{job['id']}"
    wait_for(lambda: first.get(address).json()["rows_done"], every=0.01)
    first.__exit__(None, None, None)
    monkeypatch.setattr("service.jobs.templates.arithmetic_of", lambda *_: "an abacus")
    second = make_client(jobs_dir=tmp_path)
    if reproducible:
        wait_for(lambda: second.get(address).json()["state"] == "failed", every=0.02)
        assert "would go on by an abacus: other bytes would come" in second.get(address).json()["error"]
        return
    wait_for(lambda: second.get(address).json()["state"] == "done", every=0.02)
    monkeypatch.undo()
    whole = finished(second, **body)
    assert content(second, second.get(address).json()) == content(second, whole)


def test_without_a_server_a_folder_that_is_anothers_is_left_as_it_is(checkpoints, tmp_path, capsys):
    """Another process fills it, or its note is none of ours, or broken; a folder of the user's is no rest of a file."""
    command = ["--checkpoints", str(checkpoints), "--device=cpu", "--dataset=mnist", "--label=7", "--n=1", "--steps=2"]
    with DataSetFolder(tmp_path / "taken").alone():
        assert main([*command, "--out", str(tmp_path / "taken")]) == 1
        assert "another process fills" in capsys.readouterr().err and (tmp_path / "taken").is_dir()
    assert not (tmp_path / "taken").exists()
    own = tmp_path / "own"
    (own / "rest.unfinished").mkdir(parents=True)
    (own / "part-00000.npy.unfinished").write_bytes(b"half")
    for note in ('{"name": "my own"}', '{"asked": ', "[]", '{"asked": {}, "specification": {}}'):
        (own / "data_set.json").write_text(note)
        assert main([*command, "--out", str(own)]) == 1
        assert "or is broken: name another folder" in capsys.readouterr().err
        assert (own / "data_set.json").read_text() == note
    (own / "data_set.json").unlink()
    assert main([*command, "--out", str(own)]) == 0
    assert (own / "rest.unfinished").is_dir() and not (own / "part-00000.npy.unfinished").exists()


def test_without_a_server_a_folder_gets_the_same_files_and_a_second_start_what_is_missing(
    jobs, checkpoints, tmp_path, capsys
):
    body = {"dataset": "mnist", "label": {"7": 3, "2": 4}, "seed": 5, "rows_per_file": 3, "steps": 2, "format": "npy"}
    flags = [f"--{name.replace('_', '-')}={json.dumps(value)}" for name, value in body.items()]
    command = ["--out", str(tmp_path / "set"), "--checkpoints", str(checkpoints), "--device=cpu", *flags]
    expected = content(jobs, finished(jobs, **body))
    assert main(command) == 0 and "7 of 7 rows" in capsys.readouterr().err
    made = {path.name: path.read_bytes() for path in (tmp_path / "set").iterdir() if path.name != "data_set.json"}
    assert made == expected
    (tmp_path / "set" / "part-00001.labels.npy").unlink()
    (tmp_path / "set" / "part-00001.npy").write_bytes(b"half")
    assert main(command) == 0
    assert (tmp_path / "set" / "part-00001.npy").read_bytes() == expected["part-00001.npy"]
    assert main([*command, "--seed=6"]) == 1 and "holds another data set" in capsys.readouterr().err
    assert main([*command, "--n=8"]) == 1 and "holds another data set" in capsys.readouterr().err
    assert main(["--out", str(tmp_path / "no"), "--dataset=mnist", "--n=0"]) == 2
    assert "--n: Input should be greater than or equal to 1" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main([*command, "--webhook=http://a.example/"])
    assert "unrecognized arguments: --webhook" in capsys.readouterr().err


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """A client whose digits have a judge, and the judge: of random weights, it is seldom sure."""
    tmp_path = tmp_path_factory.mktemp("judged")
    save_tiny(tmp_path / "own", IMAGES)
    save_tiny(tmp_path / "own", POINTS)
    torch.manual_seed(0)
    config = JudgeConfig(name="mnist-judge", data=IMAGES, width=8, features=8)
    network = config.build_network()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    save_judge(tmp_path / "own" / "mnist-judge", config, network)
    with client_of(tmp_path / "own", tmp_path) as client:
        yield client, load_judge(tmp_path / "own" / "mnist-judge")


def test_rows_that_the_judge_reads_otherwise_are_left_out_and_counted(judged):
    client, judge = judged
    body = {"dataset": "mnist", "label": "balanced", "n": 60, "rows_per_file": 25, "steps": 2, "seed": 3}
    rows = [
        row
        for one in content(client, finished(client, **body)).values()
        for row in pq.read_table(io.BytesIO(one)).to_pylist()
    ]
    images = np.stack([np.asarray(Image.open(io.BytesIO(row["image"]["bytes"]))) for row in rows])
    read = judge.probabilities(torch.from_numpy(images)[:, None])
    threshold = float(read[range(60), [row["label"] for row in rows]].median())
    expected = [row for row, found in zip(rows, read, strict=True) if found[row["label"]] >= threshold]
    job = finished(client, **body, accept={"judge": threshold})
    kept = [row for one in content(client, job).values() for row in pq.read_table(io.BytesIO(one)).to_pylist()]
    assert kept == expected and 20 < len(kept) < 40
    assert (job["rows_done"], job["rows_dropped"]) == (60, 60 - len(kept))
    assert job["request"]["accept"] == {"judge": threshold}
    nothing = finished(client, **body, accept={"judge": 1.0})
    assert nothing["state"] == "done" and nothing["rows_dropped"] >= 59


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"dataset": "mnist", "n": 5}, "applies to rows with labels"),
        ({"dataset": "spiral", "n": 5, "label": "inner"}, "applies to images: there are no judges of points"),
        ({"dataset": "mnist", "n": 5, "label": 3, "accept": {"judge": 1.5}}, "less than or equal to 1"),
        ({"dataset": "mnist", "n": 5, "label": 3, "accept": {"clip": 0.5}}, "should be 'judge'"),
        ({"dataset": "mnist", "n": 5, "label": 3, "accept": {}}, "at least 1"),
    ],
)
def test_a_filter_that_cannot_be_is_told(judged, body, told):
    client, _ = judged
    answer = client.post("/jobs", json={"accept": {"judge": 0.5}} | body)
    assert answer.status_code == 422 and told in answer.json()["detail"], answer.json()


def test_without_a_judge_among_the_checkpoints_nothing_can_be_judged(jobs):
    answer = jobs.post("/jobs", json={"dataset": "mnist", "n": 5, "label": 3, "accept": {"judge": 0.5}})
    assert answer.status_code == 422 and "there is no judge of mnist" in answer.json()["detail"]


def test_copies_of_training_rows_are_left_out_and_counted(make_client, tmp_path):
    """The rows of one seed are the training rows; those of another are far from them."""
    folder = tmp_path / "own"
    for data in (IMAGES, POINTS):
        save_tiny(folder, data)
    client = make_client(checkpoints=folder, jobs_dir=tmp_path)
    for kind, body in (
        ("images", {"dataset": "mnist", "label": 3, "n": 6, "rows_per_file": 4, "steps": 4, "seed": 3}),
        ("points", {"dataset": "spiral", "label": "inner", "n": 6, "rows_per_file": 4, "steps": 4, "seed": 3}),
    ):
        refused = client.post("/jobs", json=body | {"distinct": True})
        assert refused.status_code == 422 and "keeps no training rows" in refused.json()["detail"]
        files = content(client, finished(client, **body, format="npy"))
        rows = torch.from_numpy(np.concatenate([np.load(io.BytesIO(files[f"part-0000{n}.npy"])) for n in (0, 1)]))
        known = rows[[1, 4]] if kind == "points" else rows[[1, 4]][:, None]
        (checkpoint,) = folder.glob(f"{body['dataset']}*")
        save_training_rows(checkpoint, TrainingRows(known, 1e-4))
        job = finished(client, **body, format="npy", distinct=True)
        assert (job["state"], job["rows_done"], job["rows_dropped"]) == ("done", 6, 2) and job["request"]["distinct"]
        kept = content(client, job)
        found = np.concatenate([np.load(io.BytesIO(kept[f"part-0000{n}.npy"])) for n in (0, 1)])
        assert found.tolist() == rows[[0, 2, 3, 5]].tolist()
        save_training_rows(checkpoint, TrainingRows(known, 1e6))
        assert finished(client, **body, distinct=True)["rows_dropped"] == 6
        (checkpoint / TRAINING_ROWS).write_bytes(b"no tensors")
        refused = client.post("/jobs", json=body | {"distinct": True})
        assert refused.status_code == 422 and TRAINING_ROWS in refused.json()["detail"]


@contextlib.contextmanager
def listener(statuses: list[int]) -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """Somebody who wants to know: its address, and what it was told. It answers with these statuses, then with 200."""
    told: list[tuple[dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            told.append((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(statuses.pop(0) if statuses else 200)
            self.send_header("Location", "http://127.0.0.1:1/")
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}", told
        server.shutdown()


def test_the_end_of_a_job_is_told_to_an_allowed_host_signed_and_again_where_it_was_not_taken(
    make_client, tmp_path, monkeypatch
):
    monkeypatch.setattr("service.jobs.webhooks.FIRST_DELAY", 0.05)
    monkeypatch.setattr("service.jobs.live_jobs.TELL_EVERY", 0.02)
    secret = "a secret of many letters"
    with listener([503, 302]) as (host, told):
        client = make_client(jobs_dir=tmp_path, webhook_hosts=(host,), webhook_secret=secret)
        job = finished(client, dataset="spiral", n=10, webhook=f"http://{host}/told?by=spirale")
        wait_for(lambda: len(told) == 3, every=0.02)
        headers, body = told[-1]
        assert json.loads(body) == client.get(f"/jobs/{job['id']}").json()
        assert headers["webhook-id"] == job["id"]
        assert headers["webhook-signature"] == signature(secret, job["id"], int(headers["webhook-timestamp"]), body)
        other = client.post("/jobs", json={"dataset": "spiral", "n": 1, "webhook": "http://169.254.169.254/"})
        assert other.status_code == 422 and f"allowed here: {host}" in other.json()["detail"]
    assert len(told) == 3


def test_a_service_without_allowed_hosts_tells_nobody(jobs):
    answer = jobs.post("/jobs", json={"dataset": "spiral", "n": 1, "webhook": "http://127.0.0.1/"})
    assert answer.status_code == 422 and answer.json()["errors"][0]["field"] == "webhook"


def test_results_may_be_elsewhere(jobs, make_client, tmp_path):
    client = make_client(jobs_dir=tmp_path, results=f"memory://{tmp_path.name}")
    body = {"dataset": "spiral", "n": 50, "rows_per_file": 20, "seed": 1, "format": "csv"}
    job = finished(client, **body)
    assert content(client, job) == content(jobs, finished(jobs, **body))
    assert not (tmp_path / "jobs").exists()
    unknown = make_client(jobs_dir=tmp_path / "other", results="nowhere://me:hunter2@a")
    answer = unknown.post("/jobs", json=body)
    assert answer.status_code == 503 and "Protocol not known: nowhere" in answer.json()["detail"]
    assert "hunter2" not in answer.text


def test_a_wrong_address_of_the_store_is_not_taken_for_the_results(make_client, tmp_path):
    answer = make_client(jobs_dir=tmp_path, jobs="postgresql://me:hunter2@host:abc/db").get("/jobs")
    assert answer.status_code == 503 and "hunter2" not in answer.text
    assert answer.json()["detail"].startswith("jobs cannot be kept: its address is not such as postgresql://")
