"""Which rows share the next tick: plain Python, no tensors."""

import random

import pytest

from service.engine.scheduler import OLDEST_LEADS_EVERY, Scheduler


def run_to_the_end(scheduler: Scheduler, ticks: int = 100_000) -> list[int]:
    """Tick until nothing waits; the jobs in the order in which they finished."""
    finished = []
    for _ in range(ticks):
        if not scheduler:
            return finished
        finished += scheduler.advance(scheduler.next_tick())
    raise AssertionError("the scheduler never came to an end")


def test_every_row_gets_every_one_of_its_steps_exactly_once():
    random.seed(0)
    scheduler = Scheduler({"a": 8, "b": 16})
    jobs = {
        job: dict(model=random.choice("ab"), rows=random.randint(1, 40), steps=random.randint(1, 20),
                  evaluations_per_row=random.choice([1, 2]))
        for job in range(60)
    }  # fmt: skip
    done = {(job, row): 0 for job, it in jobs.items() for row in range(it["rows"])}
    waiting = list(jobs)
    while waiting or scheduler:
        if waiting and random.random() < 0.5:
            job = waiting.pop()
            scheduler.add(job, **jobs[job])
        if not scheduler:
            continue
        tick = scheduler.next_tick()
        assert 0 < tick.evaluations <= {"a": 8, "b": 16}[tick.model]
        for piece in tick.slices:
            assert piece.model == tick.model
            for row in range(piece.start, piece.stop):
                assert done[piece.job, row] == piece.step
                done[piece.job, row] += 1
        for job in scheduler.advance(tick):
            assert all(done[job, row] == jobs[job]["steps"] for row in range(jobs[job]["rows"]))
    assert all(count == jobs[job]["steps"] for (job, _), count in done.items())


def test_a_request_that_arrives_joins_the_next_tick():
    scheduler = Scheduler({"m": 8})
    scheduler.add(1, "m", rows=4, steps=1000, evaluations_per_row=1)
    list(scheduler.advance(scheduler.next_tick()))
    scheduler.add(2, "m", rows=4, steps=10, evaluations_per_row=1)
    assert {piece.job for piece in scheduler.next_tick().slices} == {1, 2}


def test_a_short_request_is_not_held_behind_long_ones():
    scheduler = Scheduler({"m": 8})
    for job in range(20):
        scheduler.add(job, "m", rows=8, steps=1000, evaluations_per_row=1)
    scheduler.add(99, "m", rows=1, steps=10, evaluations_per_row=1)
    ticks = 1
    while 99 not in scheduler.advance(scheduler.next_tick()):
        ticks += 1
    assert ticks <= 10 * OLDEST_LEADS_EVERY / (OLDEST_LEADS_EVERY - 1) + 1


def test_a_long_request_keeps_its_share_under_a_stream_of_short_ones():
    scheduler = Scheduler({"m": 8})
    scheduler.add(0, "m", rows=8, steps=1000, evaluations_per_row=1)
    rows_of_long, ticks = 0, 2000
    for job in range(1, ticks + 1):
        scheduler.add(job, "m", rows=8, steps=1, evaluations_per_row=1)
        tick = scheduler.next_tick()
        rows_of_long += sum(len(piece) for piece in tick.slices if piece.job == 0)
        list(scheduler.advance(tick))
    assert rows_of_long >= 8 * ticks // OLDEST_LEADS_EVERY


def test_many_points_are_one_slice_and_are_cut_only_to_fit():
    scheduler = Scheduler({"m": 1024})
    scheduler.add(1, "m", rows=10_000, steps=1, evaluations_per_row=2)
    sizes = []
    while scheduler:
        tick = scheduler.next_tick()
        assert len(tick.slices) == 1
        sizes.append(len(tick.slices[0]))
        list(scheduler.advance(tick))
    assert sizes == [512] * 19 + [272]


def test_cuts_heal():
    scheduler = Scheduler({"m": 4})
    scheduler.add(1, "m", rows=8, steps=3, evaluations_per_row=1)
    for _ in range(2):
        list(scheduler.advance(scheduler.next_tick()))
    assert scheduler.rows_waiting == 8
    assert len(scheduler._waiting[1]) <= 2


def test_removed_rows_never_run_again_nor_finish():
    scheduler = Scheduler({"m": 4})
    scheduler.add(1, "m", rows=4, steps=2, evaluations_per_row=1)
    scheduler.add(2, "m", rows=4, steps=2, evaluations_per_row=1)
    tick = scheduler.next_tick()
    scheduler.remove(tick.slices[0].job)
    assert list(scheduler.advance(tick)) == []
    assert run_to_the_end(scheduler) == [2 if tick.slices[0].job == 1 else 1]


@pytest.mark.parametrize("evaluations_per_row", [1, 2])
def test_cost_is_counted_in_network_evaluations(evaluations_per_row):
    scheduler = Scheduler({"m": 8})
    scheduler.add(1, "m", rows=100, steps=1, evaluations_per_row=evaluations_per_row)
    assert len(scheduler.next_tick().slices[0]) == 8 // evaluations_per_row
