"""How long one pass takes at each batch size."""

import pytest

from service.engine.speed import AS_GOOD_AS_BEST, SpeedCurve


def test_the_knee_is_the_smallest_size_that_is_nearly_as_fast_as_the_fastest():
    curve = SpeedCurve({4: 4 / 400, 16: 16 / 940, 32: 32 / 960, 64: 64 / 1000})
    assert curve.knee == 32 and curve.rate == pytest.approx(960)
    assert 940 < AS_GOOD_AS_BEST * 1000 <= 960


def test_a_size_past_the_cache_is_slower_and_never_the_knee():
    assert SpeedCurve({8: 8 / 700, 24: 24 / 975, 64: 64 / 780}).knee == 24


def test_what_is_learned_moves_the_curve_a_little_each_time_and_in_the_end_all_the_way():
    curve = SpeedCurve({4: 0.010, 8: 0.012})
    curve.learn(8, 0.022)
    assert curve.seconds(8) == pytest.approx(0.013) and curve.seconds(4) == 0.010
    for _ in range(200):
        curve.learn(8, 0.022)
    assert curve.seconds(8) == pytest.approx(0.022) and curve.knee == 4


def test_sizes_by_evaluations_and_by_time():
    curve = SpeedCurve({4: 0.010, 8: 0.011, 32: 0.030, 64: 0.090})
    assert [curve.size_for(n) for n in (1, 4, 5, 33, 64, 1000)] == [4, 4, 8, 64, 64, 64]
    assert [curve.largest_within(seconds) for seconds in (0.001, 0.010, 0.029, 1.0)] == [4, 4, 8, 32]  # the knee
