"""How long one pass takes at each batch size."""

import random

import pytest

from service.engine.speed_curve import AS_GOOD_AS_BEST, SpeedCurve


def test_the_knee_is_the_smallest_size_that_is_nearly_as_fast_as_the_fastest():
    curve = SpeedCurve({4: 4 / 400, 16: 16 / 940, 32: 32 / 960, 64: 64 / 1000})
    assert curve.knee == 32 and curve.rate == pytest.approx(960)
    assert 940 < AS_GOOD_AS_BEST * 1000 <= 960


def test_a_size_past_the_cache_is_slower_and_never_the_knee():
    assert SpeedCurve({8: 8 / 700, 24: 24 / 975, 64: 64 / 780}).knee == 24


def test_what_is_learned_moves_the_curve_a_little_each_time_and_in_the_end_all_the_way():
    curve = SpeedCurve({4: 0.010, 8: 0.012})
    before = curve.seconds(8)
    for _ in range(200):
        curve.learn(4, 0.010, idle=False)
        curve.learn(8, 0.022, idle=False)
        assert before < curve.seconds(8) < 0.0222
    assert curve.seconds(4) == pytest.approx(0.010, rel=0.1)
    assert curve.seconds(8) == pytest.approx(0.022, rel=0.1)
    assert curve.knee == 4


def test_one_outlier_at_warm_up_is_forgotten_sooner_than_one_among_many_ticks():
    young, old = SpeedCurve({8: 0.100}), SpeedCurve({8: 0.010})
    for _ in range(50):
        old.learn(8, 0.010, idle=False)
    young.learn(8, 0.010, idle=False)
    old.learn(8, 0.100, idle=False)
    assert young.seconds(8) == pytest.approx((0.100 * 0.010) ** 0.5)
    assert old.seconds(8) < 0.015


def test_a_machine_that_slows_down_keeps_the_shape_of_its_curve():
    """Only 16 is run while everything takes twice as long; 64, which is not, must not look fast by comparison."""
    curve = SpeedCurve({4: 0.010, 16: 0.020, 64: 0.100})
    for seconds in [0.020] * 20 + [0.040] * 100:
        curve.learn(16, seconds, idle=False)
    assert curve.seconds(64) / curve.seconds(16) == pytest.approx(5, rel=0.4)
    assert curve.seconds(4) > 0.015
    assert curve.knee == 16


def test_sizes_by_evaluations_and_by_time():
    curve = SpeedCurve({4: 0.010, 8: 0.011, 32: 0.030, 64: 0.090})
    assert [curve.size_for(n) for n in (1, 4, 5, 33, 64, 1000)] == [4, 4, 8, 64, 64, 64]
    assert [curve.largest_within(seconds) for seconds in (0.001, 0.010, 0.029, 1.0)] == [4, 4, 8, 32]  # the knee


def test_what_a_pass_takes_on_an_idle_device_is_learned_from_idle_passes_only():
    curve = SpeedCurve({4: 0.010, 16: 0.020})
    for _ in range(100):
        curve.learn(16, 0.040, idle=False)
    assert curve.idle_seconds(4) == 0.010
    assert curve.idle_seconds(16) == 0.020
    for _ in range(100):
        curve.learn(16, 0.025, idle=True)
    assert curve.idle_seconds(16) == pytest.approx(0.025, rel=0.01)
    assert curve.idle_seconds(4) == 0.010


def test_between_two_measured_sizes_any_size_takes_what_lies_between():
    curve = SpeedCurve({1: 0.010, 5: 0.018, 9: 0.022}, any_size=True)
    assert [curve.seconds(size) for size in (1, 3, 5, 8)] == pytest.approx([0.010, 0.014, 0.018, 0.021])
    assert [curve.size_for(evaluations) for evaluations in (1, 3, 9, 100)] == [1, 3, 9, 9]
    assert [curve.largest_within(seconds) for seconds in (0.001, 0.0141, 0.020, 1.0)] == [1, 3, 7, 9]
    assert curve.idle_pass_seconds(7) == pytest.approx(0.020)


def test_a_pass_between_two_measured_sizes_teaches_both_by_how_near_they_are():
    curve = SpeedCurve({1: 0.010, 5: 0.010, 64: 0.100}, any_size=True)
    for _ in range(300):
        curve.learn(4, 0.020, idle=True)
    assert (curve.seconds(4), curve.idle_seconds(4)) == pytest.approx((0.020, 0.020), rel=0.01)
    assert curve.idle_seconds(5) > curve.idle_seconds(1) > 0.010
    assert curve.idle_seconds(64) == 0.100


@pytest.mark.parametrize("sizes", [(1, 2), (1, 2, 3, 63), (3, 17), (2, 5, 33)])
def test_sizes_in_any_company_stay_what_they_take(sizes):
    """Neighbours that share a pass once drove each other away, to 0 and to infinity."""
    takes, draw = {1: 0.003, 4: 0.01, 16: 0.032, 64: 0.13}, random.Random(0)
    curve, truth = SpeedCurve(takes, any_size=True), SpeedCurve(takes, any_size=True)
    for _ in range(3000):
        size = draw.choice(sizes)
        curve.learn(size, truth.seconds(size) * draw.choice([1, 1, 1, 1.1, 1.6]), idle=False)
    assert all(0.9 < curve.seconds(size) / seconds < 1.6 for size, seconds in takes.items())
