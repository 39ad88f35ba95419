"""The page's first sentence claims no more than all settings together show."""

import numpy as np
import pytest

from training.utility.headline import Setting, headline
from training.utility.paired import paired

RESOLUTION = 0.001


def setting(rows: int, *differences: float) -> Setting:
    return Setting(rows, "semi", 5, differences)


def around(mean: float, half: float, settings: int) -> tuple[float, ...]:
    """Differences whose interval is mean ± half."""
    width = paired([-1.0, 0.0, 1.0], RESOLUTION, settings).half
    return tuple(mean + half / width * one for one in (-1, 0, 1))


def test_a_setting_that_is_surely_worse_does_not_speak_for_one_that_is_undecided():
    found = [setting(10, *around(0.06, 0.08, 2)), setting(100, *around(-0.005, 0.004, 2))]
    for order in (found, found[::-1]):
        assert headline(order, RESOLUTION) == (
            "It is not shown that generated data help: the best of 2 settings changed balanced accuracy by 6.0 ± 8.0 "
            "points at 10 labels a class (semi generator, 5 generated rows for each real one)."
        )


def test_they_did_not_help_where_all_settings_are_worse():
    found = [setting(10, *around(-0.06, 0.05, 2)), setting(100, *around(-0.005, 0.004, 2))]
    assert headline(found, RESOLUTION).startswith(
        "Adding generated data did not help: the best of 2 settings changed balanced accuracy by -0.5 ± 0.4 points"
    )


def test_of_settings_that_helped_the_clearest_is_named():
    found = [setting(5, *around(0.3, 0.4, 3)), setting(10, *around(0.06, 0.01, 3)), setting(20, *around(0.08, 0.07, 3))]
    assert headline(found, RESOLUTION).startswith(
        "Adding generated data raised balanced accuracy by 6.0 ± 1.0 points at 10 labels a class"
    )


@pytest.mark.parametrize("settings", [1, 4, 12])
def test_the_best_of_settings_without_effect_is_seldom_a_gain(settings):
    """In 400 experiments of five choices. One interval of 95 % lies above 0 by chance in 2.5 % of them."""
    generator = np.random.default_rng(0)
    answers = [
        headline([setting(rows, *generator.normal(size=5)) for rows in range(settings)], RESOLUTION) for _ in range(400)
    ]
    assert np.mean(["raised" in answer for answer in answers]) <= 0.05
    assert np.mean(["did not help" in answer for answer in answers]) <= 0.05
