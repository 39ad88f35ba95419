"""Which jobs are let in, by the time that they would take under the scheduler's rules."""

import numpy as np
import pytest

from model.conditions import Conditions
from model.noise_schedule import make_schedule
from model.plan import make_plan
from service.engine.backlog import Ahead, Backlog
from service.engine.job import EngineFull, Job, JobTooLong
from service.engine.scheduler import OLDEST_SHARE
from service.engine.speed_curve import SpeedCurve

BOUND, DEADLINE = 64.0, 200.0


def job(seconds: float, model: str = "fast") -> Job:
    """Of so many seconds, at a hundred evaluations each."""
    n = round(seconds * 10)
    plan = make_plan(make_schedule("cosine", 1000), "ddim", 10)
    return Job(model, plan, np.arange(n), Conditions.none(n))


@pytest.fixture
def curves() -> dict[str, SpeedCurve]:
    return {"fast": SpeedCurve({1: 0.01}), "slow": SpeedCurve({1: 1.0})}


@pytest.fixture
def backlog(curves) -> Backlog:
    return Backlog(curves, BOUND, DEADLINE)


def test_an_idle_engine_takes_any_job_that_the_deadline_allows(backlog):
    with pytest.raises(JobTooLong, match="takes 201 s on this device, and the deadline is 200 s"):
        backlog.admit(0, job(201))
    backlog.admit(0, job(199))
    assert backlog.seconds == pytest.approx(199)


def test_equal_jobs_wait_for_each_other_up_to_the_bound(backlog):
    for number in range(6):
        backlog.admit(number, job(12))
    with pytest.raises(EngineFull) as full:
        backlog.admit(6, job(12))
    assert full.value.wait_seconds == pytest.approx(72) and full.value.retry_after == 8


def test_a_job_does_not_wait_for_those_that_it_overtakes(backlog, curves):
    """Long jobs were accepted, and then the device slowed down: they count for hours, and a short one is let in."""
    for number in range(5):
        backlog.admit(number, job(12))
    for _ in range(100):
        curves["fast"].learn(1, 1.0, idle=False)
    assert backlog.seconds > 3600
    backlog.admit(5, job(0.1))


def test_a_job_that_waits_is_told_what_runs_before_it(backlog):
    """Shorter jobs, and equal ones that came first; not longer ones, nor equal ones that came later."""
    for number, seconds in enumerate((50, 20, 20, 1)):
        backlog.admit(number, job(seconds))
    assert backlog.ahead_of(2) == Ahead(2, pytest.approx(21))
    assert backlog.ahead_of(3) == Ahead(0, 0)
    backlog.done(1, 1000)  # half of it
    assert backlog.ahead_of(2) == Ahead(2, pytest.approx(11))
    assert backlog.ahead_of(1) is None  # it has begun
    assert backlog.ahead_of(7) is None


def test_beside_longer_jobs_a_short_one_is_slowed_by_the_oldest_jobs_share(backlog):
    backlog.admit(0, job(150))
    accepted = 0
    with pytest.raises(EngineFull) as full:
        while True:
            backlog.admit(accepted + 1, job(1))
            accepted += 1
    wait = (accepted + 1) / (1 - OLDEST_SHARE) - 1
    assert full.value.wait_seconds == pytest.approx(wait) and wait - 1 / (1 - OLDEST_SHARE) <= BOUND < wait


def test_a_job_that_would_miss_the_deadline_is_refused_at_once(backlog):
    backlog.admit(0, job(50))
    with pytest.raises(EngineFull) as full:
        backlog.admit(1, job(160))
    assert full.value.wait_seconds == pytest.approx(50) and full.value.retry_after == 10


def test_what_is_done_makes_room(backlog):
    backlog.admit(0, job(60))
    backlog.admit(1, job(40))
    with pytest.raises(EngineFull):
        backlog.admit(2, job(70))
    backlog.done(0, 6000)
    assert backlog.seconds == pytest.approx(40)
    backlog.admit(2, job(70))
    backlog.done(1, 4000)
    backlog.done(2, 7000)
    assert backlog.seconds == 0


def test_a_model_is_counted_at_its_own_speed(backlog):
    backlog.admit(0, job(0.1))
    backlog.admit(1, job(0.1, "slow"))
    assert backlog.seconds == pytest.approx(0.1 + 10)


def test_a_busy_devices_estimate_calls_no_job_too_long(backlog, curves):
    """Only what was measured while nothing else ran does."""
    for _ in range(100):
        curves["fast"].learn(1, 1.0, idle=False)
    backlog.admit(0, job(10))


def test_few_rows_that_run_far_below_the_best_rate_may_be_too_long(curves):
    """A thousand passes of one row, 0.4 s each, where 64 rows take hardly longer."""
    backlog = Backlog({"fast": SpeedCurve({1: 0.4, 64: 0.5}, any_size=True)}, BOUND, DEADLINE)
    plan = make_plan(make_schedule("cosine", 1000), "ddim", 1000)
    with pytest.raises(JobTooLong, match="takes 400 s"):
        backlog.admit(0, Job("fast", plan, np.arange(1), Conditions.none(1)))
