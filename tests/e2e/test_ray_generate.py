"""Ray's workers fill a folder with the files of the service's own job. It needs the extra `ray`."""

import json
import shlex
import sys
import tempfile
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.settings import Settings
from tests.e2e.ray_alone import run_alone
from tests.integration.conftest import wait_until_ready
from tests.tiny import IMAGES, save_tiny
from tests.waiting import wait_for

pytest.importorskip("ray", reason="the extra ray is not installed")

BODY = {"dataset": "mnist", "label": {"7": 11, "2": 6}, "seed": 5, "rows_per_file": 4, "steps": 2}


def of_a_job(checkpoints: Path, body: dict) -> dict[str, bytes]:
    """The files of the service's own job, by name."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(checkpoints=checkpoints, device="cpu", threads=1, jobs_dir=Path(folder))
        with TestClient(create_app(settings)) as client:
            wait_until_ready(client)
            address = f"/jobs/{client.post('/jobs', json=body).json()['id']}"
            wait_for(lambda: client.get(address).json()["state"] == "done")
            names = [file["name"] for file in client.get(f"{address}/files").json()["files"]]
            return {name: client.get(f"{address}/files/{name}").content for name in names}


@pytest.mark.slow
def test_workers_on_two_nodes_make_the_files_of_a_job_and_a_second_start_what_is_missing(tmp_path):
    checkpoints = tmp_path / "checkpoints"
    save_tiny(checkpoints, IMAGES)
    formats = {"npy": tmp_path / "arrays", "webdataset": tmp_path / "tars"}
    expected = {form: of_a_job(checkpoints, BODY | {"format": form}) for form in formats}
    assert [len(files) for files in expected.values()] == [10, 5]
    command = [sys.executable, "-m", "ops.ray.generate", "--device=cpu", "--workers=2", f"--checkpoints={checkpoints}"]
    command += [f"--{name.replace('_', '-')}={json.dumps(value)}" for name, value in BODY.items()]
    arrays, tars = (shlex.join([*command, f"--format={form}", f"--out={out}"]) for form, out in formats.items())
    (tmp_path / "commands.sh").write_text(f"""
        set -e
        {arrays}
        rm {tmp_path}/arrays/part-00001.labels.npy
        echo half > {tmp_path}/arrays/part-00001.npy
        {arrays}
        {tars}
        {arrays} --seed=6 || echo "status $?" >&2
    """)
    told = run_alone(sys.executable, "-m", "tests.e2e.ray_two_nodes", "sh", f"{tmp_path}/commands.sh", seconds=1500)
    assert told.returncode == 0, told.stderr[-3000:]
    for form, out in formats.items():
        made = {path.name: path.read_bytes() for path in out.iterdir() if path.name != "data_set.json"}
        assert made == expected[form]
    assert told.stderr.count("17 of 17 rows") == 3
    assert "holds another data set" in told.stderr and "status 1" in told.stderr
