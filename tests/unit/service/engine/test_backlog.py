"""Which jobs are let in, by the device-seconds that wait."""

import numpy as np
import pytest

from model.conditions import Conditions
from model.noise_schedule import make_schedule
from model.plan import make_plan
from service.engine.backlog import Backlog
from service.engine.job import EngineFull, Job
from service.engine.speed_curve import SpeedCurve

BOUND, DEADLINE = 64.0, 100.0


def job(seconds: float, model: str = "fast") -> Job:
    """Of so many seconds, at a hundred evaluations each."""
    n = round(seconds * 10)
    plan = make_plan(make_schedule("cosine", 1000), "ddim", 10)
    return Job(model, plan, np.arange(n), Conditions.none(n))


@pytest.fixture
def backlog() -> Backlog:
    return Backlog({"fast": SpeedCurve({1: 0.01}), "slow": SpeedCurve({1: 1.0})}, BOUND, DEADLINE)


def test_an_idle_engine_takes_any_job(backlog):
    assert not backlog.admit(job(1000))
    assert backlog.seconds == pytest.approx(1000)


def test_long_jobs_fill_three_quarters_of_the_bound(backlog):
    for _ in range(4):
        backlog.admit(job(12))
    with pytest.raises(EngineFull) as full:
        backlog.admit(job(12))
    assert full.value.queued_seconds == pytest.approx(48) and full.value.retry_after == 12


def test_behind_whatever_long_job_there_is_still_room_for_short_ones(backlog):
    backlog.admit(job(1000))
    taken = 0
    with pytest.raises(EngineFull) as full:
        while backlog.admit(job(1)):
            taken += 1
    assert taken == 16 and full.value.retry_after == 1
    backlog.done("fast", 100, short=True)
    assert backlog.admit(job(1))


def test_short_jobs_may_fill_the_whole_bound(backlog):
    for _ in range(64):
        assert backlog.admit(job(1))
    for refused in (job(1), job(2)):
        with pytest.raises(EngineFull):
            backlog.admit(refused)


def test_nobody_is_told_to_wait_longer_than_any_job_may_take(backlog):
    backlog.admit(job(5000))
    with pytest.raises(EngineFull) as full:
        backlog.admit(job(5000))
    assert full.value.retry_after == DEADLINE


def test_what_is_done_makes_room_for_its_own_kind(backlog):
    backlog.admit(job(40))
    backlog.admit(job(8))
    backlog.done("fast", 1000, short=False)
    backlog.admit(job(8))
    with pytest.raises(EngineFull):
        backlog.admit(job(3))


def test_a_model_is_counted_at_its_own_speed(backlog):
    assert backlog.admit(job(0.1)) and not backlog.admit(job(0.1, "slow"))
    assert backlog.seconds == pytest.approx(0.1 + 10)
    backlog.forget("slow")
    assert backlog.seconds == pytest.approx(0.1)
