"""Before the imports: how many threads a quota leaves, and how they wait."""

import os

import pytest

from service import launch


def quota_of(folder, files: dict[str, str]) -> float | None:
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return launch.cpu_quota(folder)


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
        ({}, None),
    ],
)
def test_the_quota_of_either_version_of_cgroups_is_read(tmp_path, files, quota):
    assert quota_of(tmp_path, files) == quota


@pytest.mark.parametrize(
    ("environment", "quota", "expected"),
    [
        ({}, None, {"GOMP_SPINCOUNT": launch.SPINS}),
        ({}, 0.5, {"GOMP_SPINCOUNT": launch.SPINS, "OMP_NUM_THREADS": "1"}),
        ({}, 2.9, {"GOMP_SPINCOUNT": launch.SPINS, "OMP_NUM_THREADS": "2"}),
        ({}, 64.0, {"GOMP_SPINCOUNT": launch.SPINS}),
        ({"OMP_NUM_THREADS": "3"}, 1.0, {"GOMP_SPINCOUNT": launch.SPINS, "OMP_NUM_THREADS": "3"}),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, None, {"OMP_WAIT_POLICY": "ACTIVE"}),
        ({"GOMP_SPINCOUNT": "7"}, None, {"GOMP_SPINCOUNT": "7"}),
    ],
)
def test_threads_are_no_more_than_the_quota_and_do_not_spin_for_long(monkeypatch, environment, quota, expected):
    monkeypatch.setattr(os, "environ", dict(environment))
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)))
    monkeypatch.setattr(launch, "cpu_quota", lambda: quota)
    launch._share_cores()
    assert os.environ == expected
