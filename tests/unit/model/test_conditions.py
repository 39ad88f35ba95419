"""Conditions of rows are sliced, joined and written field by field, whatever fields there are."""

from dataclasses import fields, replace

import pytest
import torch

from model.conditions import NO_HINT, NO_LABEL, Conditions, Hints
from model.row_batch import RowBatch

PLAIN = Conditions.alike(2, label=torch.tensor([3, 4]), guidance_scale=1.5)
PROMPTED = Conditions.alike(3, text=torch.eye(3, 4), guidance_scale=2.0, gradient_scale=4.0)
HINTED = Conditions.alike(1, label=7).with_hints(torch.full((1, 2, 2), 0.5), "sketch", 0.25)


def same(ours: RowBatch | None, theirs: RowBatch | None) -> bool:
    if ours is None or theirs is None:
        return ours is theirs
    pairs = [(getattr(ours, of.name), getattr(theirs, of.name)) for of in fields(ours)]
    return all(torch.equal(a, b) if isinstance(a, torch.Tensor) else same(a, b) for a, b in pairs)


def test_joined_rows_have_the_neutral_value_of_what_they_lack():
    joined = Conditions.cat([PLAIN, PROMPTED, HINTED])
    assert joined.label.tolist() == [3, 4, NO_LABEL, NO_LABEL, NO_LABEL, 7]
    assert joined.gradient_scale.tolist() == [0, 0, 4, 4, 4, 0]
    assert torch.equal(joined.text, torch.cat([torch.zeros(2, 4), torch.eye(3, 4), torch.zeros(1, 4)]))
    assert joined.hints.kind.tolist() == [NO_HINT] * 5 + [1] and joined.hints.active.tolist() == [False] * 5 + [True]
    assert joined.has("text").tolist() == [False, False, True, True, True, False]


@pytest.mark.parametrize("index", [slice, lambda start, stop: torch.arange(start, stop)])
def test_rows_taken_out_of_a_join_are_those_that_went_in(index):
    joined = Conditions.cat([PLAIN, PROMPTED, HINTED])
    assert same(joined[index(0, 2)].compact(), PLAIN)
    assert same(joined[index(2, 5)].compact(), PROMPTED)
    assert same(joined[index(5, 6)].compact(), HINTED)


def test_what_is_written_is_there_and_the_other_rows_are_as_they_were():
    rows = Conditions.cat([PLAIN, Conditions.none(4)])
    rows = rows.written(slice(2, 5), PROMPTED)
    rows = rows.written(slice(5, 6), HINTED)
    assert same(rows, Conditions.cat([PLAIN, PROMPTED, HINTED]))
    rows = rows.written(slice(4, 6), PLAIN)  # in place of a prompt and a hint
    assert same(rows[0:4].compact(), Conditions.cat([PLAIN, PROMPTED[:2]]))
    assert same(rows[4:].compact(), PLAIN)


def test_writing_changes_no_rows_that_were_written():
    job = Conditions.alike(2, label=5, guidance_scale=2.0)
    rows = Conditions.cat([Conditions.none(2)]).written(slice(0, 2), job)
    rows.written(slice(0, 2), Conditions.none(2))
    assert job.label.tolist() == [5, 5] and job.guidance_scale.tolist() == [2, 2]


def test_a_hint_that_is_off_is_kept_and_rows_without_any_are_compact():
    off = replace(HINTED, hints=replace(HINTED.hints, scale=torch.zeros(1)))
    assert same(off.compact(), off)
    nothing = Hints(torch.zeros(1, 1, 2, 2), torch.tensor([NO_HINT]), torch.zeros(1))
    assert replace(HINTED, hints=nothing, text=torch.zeros(1, 4)).compact().hints is None
    assert same(Conditions.none(3).compact(), Conditions.none(3))


def test_rows_of_a_run_cost_alike():
    assert PROMPTED.network_evaluations_by_step(torch.ones(4)).tolist() == [3] * 4
    with pytest.raises(ValueError, match="cost alike"):
        Conditions.cat([PLAIN, PROMPTED]).network_evaluations_by_step(torch.ones(4))


WITHIN = replace(PLAIN, guidance_interval=torch.tensor([[0.3, 5.0], [0.0, 0.2]], dtype=torch.float64))


def test_outside_of_its_interval_a_row_is_plain_conditional():
    for level, scales in {
        0.1: [1, 1.5],
        0.2: [1, 1.5],
        0.25: [1, 1],
        0.3: [1.5, 1],
        5.0: [1.5, 1],
        5.1: [1, 1],
    }.items():
        at = WITHIN.at(torch.full((2,), level, dtype=torch.float64))
        assert at.guidance_scale.tolist() == scales and at.guidance_interval is None
        assert at.network_evaluations.tolist() == [1 if scale == 1 else 2 for scale in scales]


def test_a_row_without_an_interval_is_guided_at_every_noise_level_beside_one_that_has_it():
    joined = Conditions.cat([WITHIN, PLAIN, Conditions.none(1)])
    for level in (0.0, 1e9):
        at = joined.at(torch.full((5,), level, dtype=torch.float64))
        assert at.guidance_scale.tolist() == [1, 1 if level else 1.5, 1.5, 1.5, 0]  # and nothing guides the last
    assert same(joined[2:].compact(), Conditions.cat([PLAIN, Conditions.none(1)]))


def test_a_run_costs_less_outside_of_its_interval():
    levels = torch.tensor([9.0, 5.0, 1.0, 0.3, 0.1], dtype=torch.float64)
    run = Conditions.alike(3, label=4, guidance_scale=2.0, guidance_interval=(0.3, 5.0))
    assert run.network_evaluations_by_step(levels).tolist() == [1, 2, 2, 2, 1]
    assert replace(run, guidance_interval=None).network_evaluations_by_step(levels).tolist() == [2] * 5
    hinted = run.with_hints(torch.ones(1, 2, 2), "canny", 1.0)
    assert hinted.network_evaluations_by_step(levels).tolist() == [2, 4, 4, 4, 2]
    alone = replace(hinted, label=torch.full((3,), NO_LABEL))
    assert alone.network_evaluations_by_step(levels).tolist() == [2, 3, 3, 3, 2]
    with pytest.raises(ValueError, match="cost alike"):
        WITHIN.network_evaluations_by_step(levels)
