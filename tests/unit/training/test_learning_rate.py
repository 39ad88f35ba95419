import pytest

from training.learning_rate import learning_rate
from training.recipe import OptimisationSection


def test_the_learning_rate_warms_up_and_decays():
    options = OptimisationSection(steps=100, warmup_steps=10, learning_rate=0.5, final_learning_rate=0.2)
    rates = [learning_rate(options, step) for step in range(101)]
    assert rates[0] == pytest.approx(0.05)
    assert rates[9] == rates[10] == 0.5
    assert rates[55] == pytest.approx(0.5 * 0.6)
    assert rates[100] == pytest.approx(0.1)
    assert rates[10:] == sorted(rates[10:], reverse=True)
