"""Movements on the page and their pictures."""

from benchmarks.page import row_of


def test_a_movement_without_a_picture_took_for_ever():
    shown = [[20.0, 5.0]] * 19
    assert row_of([*shown, [30.0, 5.0]], 150) == ["20", "[bold]30[/]", "≤ 150", "5", "0"]
    assert row_of([*shown, None], 150) == ["20", "[bold]inf[/]", "≤ 150", "5", "1"]
    assert row_of([None, None], 150) == ["inf", "[bold]inf[/]", "≤ 150", "inf", "2"]
