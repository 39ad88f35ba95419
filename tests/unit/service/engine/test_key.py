"""How much of a device a key may use, and how keys share one."""

import pytest

from service.engine.backlog import Backlog
from service.engine.fair_shares import FairShares
from service.engine.job import EngineFull, RateExceeded
from service.engine.key import ANYBODY, Allowance, Key
from service.engine.scheduler import Scheduler
from service.engine.speed_curve import SpeedCurve
from tests.unit.service.engine.test_backlog import job


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_minutes_worth_can_be_saved_up_and_comes_back_by_the_minute(clock):
    allowance = Allowance(30, clock)
    key = Key("alice", allowance=allowance)
    key.need(30)
    key.use(30)
    with pytest.raises(RateExceeded) as refused:
        key.need(4)
    assert refused.value.retry_after == 8 and not key.may_go_on
    clock.now += 8
    key.need(4)
    key.use(4)
    key.use(-1.5)  # it took less than was thought
    assert allowance.left == pytest.approx(1.5)
    clock.now += 3600
    assert allowance.left == 30


def test_a_job_of_more_than_a_minutes_worth_waits_for_a_full_bucket_and_leaves_a_debt(clock):
    key = Key("alice", allowance=Allowance(30, clock))
    key.need(90)
    key.use(90)
    with pytest.raises(RateExceeded) as refused:
        key.need(90)
    assert refused.value.retry_after == 180
    ANYBODY.need(1e9)  # without an allowance there is no bound


def test_another_rate_forgets_nothing(clock):
    allowance = Allowance(30, clock)
    allowance.use(20)
    allowance.changed(60)
    assert allowance.left == pytest.approx(40)
    allowance.changed(10)
    assert allowance.left == pytest.approx(-10)


def test_who_was_idle_has_saved_nothing_up_and_lost_nothing():
    shares = FairShares()
    shares.add("busy", 1.0, was_idle=True)
    shares.charge({"busy": 100.0})
    shares.serve("busy")
    shares.add("late", 1.0, was_idle=True)
    assert shares.tag("late") == shares.tag("busy") == 100
    shares.charge({"busy": 6.0, "late": 6.0})
    shares.add("busy", 3.0, was_idle=False)
    shares.charge({"busy": 6.0})
    assert (shares.tag("busy"), shares.tag("late")) == (108, 106)


def device_seconds(shares: dict[str, float], steps: dict[str, int], ticks: int) -> dict[str, float]:
    """That each key gets of a device, while each has ten jobs at any time."""
    scheduler = Scheduler({"m": SpeedCurve({1: 0.1, 8: 0.2})})
    keys, number, used = {}, 0, dict.fromkeys(shares, 0.0)

    def add(key: str) -> None:
        nonlocal number
        number += 1
        keys[number] = key
        scheduler.add(number, "m", rows=1, network_evaluations_by_step=(1,) * steps[key], key=key, share=shares[key])

    for key in [key for key in shares for _ in range(10)]:
        add(key)
    for _ in range(ticks):
        tick = scheduler.next_tick()
        for piece in tick.slices:
            used[keys[piece.job]] += 0.2 * len(piece) / tick.network_evaluations
        for done in list(scheduler.advance(tick, 0.2)):
            add(keys[done])
    return used


@pytest.mark.parametrize(
    ("shares", "steps"),
    [
        ({"a": 1.0, "b": 1.0}, {"a": 3, "b": 3}),
        ({"a": 1.0, "b": 1.0}, {"a": 2, "b": 400}),  # short jobs do not starve another key's long ones, nor these them
        ({"a": 3.0, "b": 1.0}, {"a": 50, "b": 4}),
        ({"a": 1.0, "b": 2.0, "c": 5.0}, {"a": 5, "b": 60, "c": 7}),
    ],
)
def test_keys_that_always_have_work_share_a_device_by_their_shares(shares, steps):
    used = device_seconds(shares, steps, ticks=600)
    for key, seconds in used.items():
        assert seconds / sum(used.values()) == pytest.approx(shares[key] / sum(shares.values()), abs=0.03)


def test_one_key_has_the_device_to_itself_and_the_order_it_would_have_without_keys():
    """The same slices, whatever the name of the only key."""

    def ticks(**of) -> list:
        scheduler, found = Scheduler({"m": SpeedCurve({1: 0.1, 8: 0.2})}), []
        for number, steps in enumerate((40, 3, 400, 7, 3)):
            scheduler.add(number, "m", rows=3, network_evaluations_by_step=(1,) * steps, **of)
        while scheduler:
            tick = scheduler.next_tick()
            found.append(tick.slices)
            list(scheduler.advance(tick, 0.15))
        return found

    assert ticks() == ticks(key="alice", share=0.01)


def test_a_key_is_let_in_while_another_has_filled_the_queue():
    backlog = Backlog({"fast": SpeedCurve({1: 0.01})}, 64.0, 200.0)
    alice, bob, carol = Key("alice"), Key("bob"), Key("carol", share=0.1)
    for number in range(6):
        backlog.admit(number, job(12), alice)
    with pytest.raises(EngineFull):
        backlog.admit(6, job(12), alice)
    backlog.admit(6, job(12), bob)  # half of the device is bob's: it waits as long as it takes
    with pytest.raises(EngineFull) as full:
        backlog.admit(7, job(12), carol)  # a small share waits for nearly all
    assert full.value.wait_seconds == pytest.approx(6 * 12 + 12)
    ahead = backlog.ahead_of(6)
    assert ahead is not None and ahead.jobs == 0
