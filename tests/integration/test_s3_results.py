"""Results in an object store, for real: moto's server on 127.0.0.1, asked by s3fs."""

import contextlib
from collections.abc import Iterator

import numpy as np
import pytest

from service.jobs.results import results_at
from tests.integration.test_jobs import content, finished

pytestmark = pytest.mark.slow

BUCKET = "results"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """s3://… of an empty bucket. The packages are the extra `s3-test`."""
    server = pytest.importorskip("moto.server")
    s3fs = pytest.importorskip("s3fs")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    with pytest.MonkeyPatch.context() as environment, contextlib.ExitStack() as ending:
        environment.setenv("AWS_ACCESS_KEY_ID", "key")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        running.start()
        ending.callback(running.stop)
        host, port = running.get_host_and_port()
        environment.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        s3fs.S3FileSystem().mkdir(BUCKET)
        yield f"s3://{BUCKET}/prefix"


def test_files_are_written_read_and_removed(address):
    results = results_at(address)
    results.check()
    whole = bytes(range(256)) * 12_000  # three pieces
    results.put("job-a", "one", whole)
    results.put("job-a", "two", b"2")
    results.put("job-b", "one", b"other")
    assert b"".join(results.read("job-a", "one", 0, None)) == whole
    assert b"".join(results.read("job-a", "one", 5, 2_000_005)) == whole[5:2_000_005]
    with pytest.raises(FileNotFoundError):
        results.read("job-a", "three", 0, None)
    results.put("job-a", "two", b"anew")
    assert b"".join(results_at(address).read("job-a", "two", 0, None)) == b"anew"
    results.remove("job-a", lambda name: name == "two")
    with pytest.raises(FileNotFoundError):
        results.read("job-a", "one", 0, 1)
    assert b"".join(results.read("job-a", "two", 0, 4)) == b"anew"
    results.remove("job-a")
    results.remove("job-a")  # nothing is left
    assert b"".join(results.read("job-b", "one", 0, None)) == b"other"


def test_a_bucket_that_there_is_not_cannot_be_written(address):
    with pytest.raises(OSError):
        results_at("s3://nobody/prefix").check()


def test_a_job_is_the_same_there_as_in_a_folder(address, make_client, tmp_path):
    remote = make_client(jobs_dir=tmp_path / "a", results=address)
    local = make_client(jobs_dir=tmp_path / "b")
    body = {
        "dataset": "mnist",
        "label": "balanced",
        "n": 50,
        "rows_per_file": 20,
        "seed": 1,
        "steps": 2,
        "format": "npy",
    }
    job = finished(remote, **body)
    assert job["state"] == "done", job
    found = content(remote, job)
    assert found == content(local, finished(local, **body)) and len(found) == 6
    assert not (tmp_path / "a" / "jobs").exists()
    name = next(iter(found))
    part = remote.get(f"/jobs/{job['id']}/files/{name}", headers={"Range": "bytes=10-19"})
    assert part.status_code == 206 and part.content == found[name][10:20]
    assert np.frombuffer(found[name][:6], np.uint8).tobytes() == b"\x93NUMPY"
    assert remote.delete(f"/jobs/{job['id']}").status_code == 204
    with pytest.raises(FileNotFoundError):
        results_at(address).read(job["id"], name, 0, 1)
    wrong = make_client(jobs_dir=tmp_path / "c", results="s3://nobody/prefix")
    answer = wrong.post("/jobs", json=body)
    assert answer.status_code == 503 and "nobody" in answer.json()["detail"]
