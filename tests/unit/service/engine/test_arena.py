"""Where the rows of jobs live, and which of them a tick selects."""

import numpy as np
import pytest
import torch

from model.conditions import Conditions
from model.noise_schedule import make_schedule
from model.plan import make_plan
from service.engine.arena import Arena
from service.engine.job import Job
from service.engine.slices import Slice

PLAN = make_plan(make_schedule("cosine", 10), "ddim", 3)


def job(rows: int, label: int) -> Job:
    return Job("m", PLAN, np.arange(rows), Conditions.alike(rows, label=label, guidance_scale=1.0))


def arena_with(*labels: int) -> Arena:
    """Jobs of four rows each, numbered from 0."""
    arena = Arena((2,), torch.device("cpu"))
    for number, label in enumerate(labels):
        arena.add(number, job(4, label), 0)
    return arena


def test_slices_select_their_rows_in_order_with_their_conditions():
    selection = arena_with(5, 7).select([Slice(1, 1, 3, 0), Slice(0, 0, 1, 2)])
    assert selection.rows.tolist() == selection.index.tolist() == [5, 6, 0]
    assert selection.conditions.label.tolist() == [7, 7, 5]


def test_the_same_rows_at_their_next_step_are_not_selected_anew():
    arena = arena_with(5)
    first = arena.select([Slice(0, 0, 4, 0)])
    assert arena.select([Slice(0, 0, 4, 1)]) is first
    assert arena.select([Slice(0, 0, 3, 2)]).rows.tolist() == [0, 1, 2]


def test_a_job_in_the_place_of_another_has_its_own_conditions():
    arena = arena_with(5)
    arena.select([Slice(0, 0, 4, 0)])
    arena.remove(0)
    arena.add(0, job(4, 7), 0)
    assert arena.select([Slice(0, 0, 4, 0)]).conditions.label.tolist() == [7] * 4


def test_a_burst_gives_its_room_back():
    arena = arena_with(5)
    arena.add(1, job(1000, 7), 0)
    arena.remove(1)
    assert len(arena.x) > 1000
    arena.remove(0)
    columns = arena.x, arena.x0, arena.seed, arena.plan_row, arena.conditions
    assert [len(column) for column in columns] == [0] * 5
    arena.add(2, job(4, 7), 0)
    assert arena.select([Slice(2, 0, 4, 0)]).conditions.label.tolist() == [7] * 4


def test_an_arena_that_cannot_grow_stays_as_it_was(monkeypatch):
    """Memory may run out at any of its columns; the next job finds room, and all of them agree."""
    arena = arena_with(5)

    def fail(_):
        raise MemoryError

    with monkeypatch.context() as broken:
        broken.setattr(Conditions, "cat", fail)
        with pytest.raises(MemoryError):
            arena.add(1, job(4, 7), 0)
    assert len(arena.x) == len(arena.x0) == len(arena.seed) == len(arena.plan_row) == len(arena.conditions) == 4
    arena.add(1, job(4, 7), 0)
    assert arena.select([Slice(0, 0, 4, 0), Slice(1, 0, 4, 0)]).conditions.label.tolist() == [5] * 4 + [7] * 4
