"""What a request that begins from a picture takes of the steps."""

import pytest

from service.requests.edit_options import EditOptions, steps_of


@pytest.mark.parametrize(
    ("steps", "strength", "taken"),
    [(50, 0.14, 7), (25, 0.28, 7), (100, 0.07, 7), (100, 0.55, 55), (50, 0.15, 8), (50, 0.001, 1), (20, 1.0, 20)],
)
def test_the_share_of_the_steps_is_rounded_up_but_not_for_what_a_float_adds(steps, strength, taken):
    assert steps_of(steps, EditOptions("noise", strength, None)) == taken


def test_without_a_picture_all_steps_are_taken():
    assert steps_of(20, EditOptions(None, None, None)) == 20
