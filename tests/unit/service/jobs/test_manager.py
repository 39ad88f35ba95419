"""Opening the store when it is first needed."""

import asyncio
import threading
from types import SimpleNamespace

import pytest

from service.http.problems import Problem
from service.jobs.job_options import JobOptions
from service.jobs.manager import JobManager
from service.metrics import Metrics


@pytest.fixture
def manager(tmp_path) -> JobManager:
    return JobManager(JobOptions(tmp_path, tmp_path), None, None, None, None, Metrics())


async def at_once(manager: JobManager, number: int, may_go_on: threading.Event) -> list:
    asking = [asyncio.create_task(manager.live()) for _ in range(number)]
    await asyncio.sleep(0)  # all of them wait
    may_go_on.set()
    return await asyncio.gather(*asking, return_exceptions=True)


def test_all_who_wait_for_a_store_that_is_gone_are_told_by_one_attempt(manager, monkeypatch):
    attempts, may_go_on = [], threading.Event()

    def opened():
        attempts.append(1)
        may_go_on.wait()
        raise Problem(503, "nobody answers")

    monkeypatch.setattr(manager, "_opened", opened)

    async def look():
        told = await at_once(manager, 5, may_go_on)
        assert [str(one) for one in told] == ["nobody answers"] * 5 and len(attempts) == 1
        with pytest.raises(Problem):  # a later one tries again
            await manager.live()
        assert len(attempts) == 2
        await manager.close()

    asyncio.run(look())


def test_who_goes_away_while_the_store_is_opened_leaves_it_to_those_who_come(manager, monkeypatch):
    live, attempts, may_go_on = SimpleNamespace(closed=0), [], threading.Event()

    async def close():
        live.closed += 1

    live.close = close
    opened = SimpleNamespace(live=lambda *_: live)

    def opening():
        attempts.append(1)
        may_go_on.wait()
        return opened

    monkeypatch.setattr(manager, "_opened", opening)

    async def look():
        gone = asyncio.create_task(manager.live())
        await asyncio.sleep(0)
        gone.cancel()
        may_go_on.set()
        await asyncio.gather(manager._opening)
        assert await manager.live() is live
        await manager.close()

    asyncio.run(look())
    assert live.closed == 1 and len(attempts) == 1


def test_a_store_that_cannot_be_opened_after_a_start_lags(tmp_path, monkeypatch):
    """Jobs may wait in it, and an alert is to come of that."""
    now, metrics = SimpleNamespace(monotonic=lambda: 1000.0), Metrics()
    monkeypatch.setattr("service.jobs.manager.time", now)
    engine = SimpleNamespace(snapshot=lambda: SimpleNamespace(ready=True))
    manager = JobManager(JobOptions(tmp_path, tmp_path, "postgresql://gone"), engine, None, None, None, metrics)

    def opened():
        raise Problem(503, "nobody answers")

    def lag() -> float:
        (family,) = metrics.jobs_lag.collect()
        return family.samples[0].value

    monkeypatch.setattr(manager, "_opened", opened)

    async def look():
        assert lag() == 0
        manager.start()
        with pytest.raises(Problem):
            await manager.live()
        now.monotonic = lambda: 1700.0
        async with asyncio.timeout(30):
            while lag() != 700:
                await asyncio.sleep(0.01)
        await manager.close()

    asyncio.run(look())
