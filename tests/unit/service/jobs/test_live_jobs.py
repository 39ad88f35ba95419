"""The upkeep of jobs, over a real store."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from service.jobs.job_options import JobOptions
from service.jobs.live_jobs import LiveJobs
from service.jobs.results import FolderResults
from service.metrics import Metrics
from tests.unit.service.jobs.conftest import new_job


def test_jobs_lag_more_and_more_while_the_store_is_gone(store, clock, tmp_path, monkeypatch):
    """Else no alert would come of it."""
    now = SimpleNamespace(monotonic=lambda: clock.now)
    monkeypatch.setattr("service.jobs.live_jobs.time", now)
    monkeypatch.setattr("service.jobs.live_jobs.UPKEEP_EVERY", 0)
    metrics = Metrics()
    with ThreadPoolExecutor(1) as asking:
        live = LiveJobs(
            store, FolderResults(tmp_path), asking, JobOptions(tmp_path, tmp_path), metrics, close=lambda: None
        )

        def lag() -> float:
            asyncio.run(live._upkeep())
            (family,) = metrics.jobs_lag.collect()
            return family.samples[0].value

        assert lag() == 0
        job = store.add(new_job())[0].id
        clock.now += 100
        assert lag() == pytest.approx(100, abs=1)

        def gone(*_):
            raise sa.exc.OperationalError("", {}, Exception("nobody answers"))

        with monkeypatch.context() as broken:
            broken.setattr(store, "expire", gone)
            clock.now += 700
            assert lag() == pytest.approx(800, abs=1)
        store.cancel(job)
        assert lag() == 0
