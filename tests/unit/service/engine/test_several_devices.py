"""Several workers are one engine: the same bytes, and what a lost one had is done by another."""

import asyncio
import itertools
import os
import threading
from dataclasses import replace

import numpy as np
import pytest

from service.engine.engine import Engine
from service.engine.job import EngineStopped, JobFailed, JobTooLong
from service.engine.options import EngineOptions
from service.engine.served_model import Served
from service.engine.speed_curve import SpeedCurve
from service.engine.worker import Worker
from service.metrics import Metrics
from tests.cores import CORES, TWO, needs_two_cores
from tests.jobs import CHECKPOINTS, make_job
from tests.waiting import wait_for

pytestmark = needs_two_cores
MODELS = {name: Served(CHECKPOINTS[name]) for name in ("images", "points")}


def started(devices: str, **options) -> Engine:
    options = {"precision": "float32", "batch_sizes": (4, 16), "max_queued_seconds": 1e6, **options}
    engine = Engine(MODELS, EngineOptions(device=devices, **options), Metrics())
    engine.start()
    wait_for(lambda: all(one.loaded or one.ended for one in engine.snapshot().workers), every=0.01)
    return engine


@pytest.fixture
def engine():
    engine = started(TWO)
    yield engine
    engine.stop(10)


def kill(worker: Worker, after: int = 0) -> None:
    """Its thread dies in a tick, after so many more."""
    tick, ticks = worker._runner.tick, itertools.count()

    def die(*arguments):
        if next(ticks) >= after:
            raise SystemExit("killed")
        return tick(*arguments)

    worker._runner.tick = die


async def ask_all(engine: Engine, jobs: list) -> list:
    return await asyncio.gather(*map(engine.sample, jobs), return_exceptions=True)


def test_two_workers_give_the_bytes_of_one_and_survivors_those_of_the_dead(engine):
    """Jobs run on both; then one dies with jobs in its hands, and no request notices."""
    ways = itertools.product(MODELS, ("ddpm", "ddim", "heun"), (2, 5), (1, 3))
    jobs = [
        make_job(model, n=n, steps=steps, seed=seed, label=seed % 2, sampler=sampler)
        for seed, (model, sampler, steps, n) in enumerate(ways)
    ]
    one = started(f"cpu:{CORES[0]}")
    expected = asyncio.run(ask_all(one, jobs))
    one.stop(10)
    first, second = engine._workers

    def compare(answers: list) -> None:
        for answer, alone in zip(answers, expected, strict=True):
            np.testing.assert_array_equal(answer.data, alone.data)

    compare(asyncio.run(ask_all(engine, jobs)))
    assert all(ticks(engine, worker) > 0 for worker in engine._workers)

    kill(second, after=3)
    compare(asyncio.run(ask_all(engine, jobs)))
    assert second.ended and not first.ended
    now = engine.snapshot()
    assert now.ready and now.failure is None and now.heartbeat_age < 5
    assert not engine._waiting


def test_a_drain_finishes_what_every_worker_has_accepted(engine):
    async def scenario():
        asked = [asyncio.ensure_future(engine.sample(make_job(steps=5, seed=seed))) for seed in range(8)]
        await asyncio.sleep(0)
        await asyncio.to_thread(engine.stop, 60)
        with pytest.raises(EngineStopped):
            await engine.sample(make_job())
        return await asyncio.gather(*asked)

    assert all(len(answer.data) == 1 for answer in asyncio.run(scenario()))
    assert not any(worker._thread.is_alive() for worker in engine._workers)


def test_the_last_worker_takes_accepted_jobs_along(engine):
    for worker in engine._workers:
        kill(worker)
    (outcome,) = asyncio.run(ask_all(engine, [make_job()]))
    assert isinstance(outcome, EngineStopped)
    assert not engine.snapshot().ready and isinstance(engine.snapshot().failure, SystemExit)


def test_a_job_that_two_workers_died_of_is_not_given_a_third(engine):
    first, second = engine._workers
    second.backlog.add(-1, make_job(n=64, steps=50))  # so that the job goes to the first
    kill(first)

    async def scenario():
        ticket = engine.submit(make_job())
        ticket.losses = 1  # it took another along before
        return await engine.result(ticket)

    with pytest.raises(JobFailed, match="2 devices were lost while it ran"):
        asyncio.run(scenario())
    assert engine.snapshot().ready


def test_a_worker_that_dies_during_a_reload_loses_no_job_of_the_model_that_was_replaced(engine):
    """The other worker has nothing to do for that model, and keeps it until nobody needs it."""
    first, second = engine._workers
    job = make_job(n=2, steps=3)
    expected = asyncio.run(engine.sample(job))
    other = make_job(n=64, steps=50)
    second.backlog.add(-1, other)  # so that the job goes to the first
    told = threading.Event()

    def die(*_):
        told.wait(30)
        raise SystemExit("killed")

    first._runner.tick = die

    async def scenario():
        ticket = engine.submit(job)
        second.backlog.done(-1, other.network_evaluations)
        retired = engine.retire("images")
        with pytest.raises(EngineStopped, match="just replaced"):
            engine.submit(job)
        loaded = engine.load("new", Served(CHECKPOINTS["images"]))
        await asyncio.to_thread(wait_for, lambda: "images" in second._retired or "images" not in second.models)
        told.set()
        answer = await engine.result(ticket)
        await asyncio.gather(retired, loaded)
        return answer, await engine.sample(replace(job, model="new"))

    for answer in asyncio.run(asyncio.wait_for(scenario(), 60)):
        np.testing.assert_array_equal(answer.data, expected.data)
    assert first.ended and set(second.models) == {"points", "new"}
    assert "images" not in engine._in_use


def test_threads_stay_on_their_cores(engine):
    for worker, core in zip(engine._workers, CORES, strict=False):
        assert os.sched_getaffinity(worker._thread.native_id) == {core}


def test_a_job_goes_to_the_worker_that_would_finish_it_first(engine):
    first, second = engine._workers
    job = make_job(n=4, steps=10)  # 80 network evaluations
    first._curves["images"] = SpeedCurve({16: 1.0})
    second._curves["images"] = SpeedCurve({16: 2.0})

    def chosen(background: bool = False) -> Worker:
        return engine._holders(job, background)[0]

    assert chosen() is first  # both are idle, and it is faster
    first.backlog.add(-1, job)  # this and what follows stays in the books
    first.backlog.add(-2, job)
    assert chosen() is second
    second.backlog.add(-3, job)
    assert chosen() is first
    first.backlog.add(-4, job, background=True)
    first.backlog.add(-5, job, background=True)
    assert (chosen(), chosen(background=True)) == (first, second)  # only other background jobs wait for those
    first.beat -= 60  # it does not move
    assert chosen() is second


def test_a_job_is_refused_only_where_every_worker_would(engine):
    first, second = engine._workers
    for worker in (first, second):
        worker.backlog._deadline = 1e-9
    with pytest.raises(JobTooLong):
        asyncio.run(engine.sample(make_job()))
    second.backlog._deadline = 100
    assert len(asyncio.run(engine.sample(make_job())).data) == 1


def test_a_stuck_worker_is_given_up_and_its_jobs_are_done_elsewhere(engine):
    first, second = engine._workers
    begun, release = threading.Event(), threading.Event()

    def stuck(*_) -> set[int]:
        begun.set()
        release.wait(60)
        return set()

    first._runner.tick = stuck
    second.backlog.add(-1, make_job(n=64, steps=50))  # so that the job goes to the first

    async def scenario():
        asked = asyncio.ensure_future(engine.sample(make_job(seed=3)))
        await asyncio.to_thread(begun.wait, 60)
        engine.give_up(first.name)
        return await asked

    answer = asyncio.run(asyncio.wait_for(scenario(), 60))
    np.testing.assert_array_equal(answer.data, asyncio.run(engine.sample(make_job(seed=3))).data)
    assert engine.snapshot().ready and engine.snapshot().workers[0].ended
    release.set()
    first._thread.join(60)
    assert not first._thread.is_alive()


def test_previews_go_on_where_a_lost_worker_left_them(engine):
    first, second = engine._workers
    second.backlog.add(-1, make_job(n=64, steps=50))
    kill(first, after=6)
    seen = []
    job = replace(make_job(n=2, steps=10, seed=9), preview_steps=(2, 5, 8))

    async def scenario():
        return await engine.result(engine.submit(job, seen.append))

    asyncio.run(scenario())
    assert first.ended and [preview.step for preview in seen] == [2, 5, 8]


def test_a_model_is_loaded_on_every_worker_that_lives(engine):
    first, second = engine._workers

    async def load_and_ask():
        await engine.load("learned", Served(CHECKPOINTS["learned"]))
        both = [set(worker.models) for worker in engine._workers]
        kill(first)
        second.backlog.add(-1, make_job(n=64, steps=50))
        await engine.sample(make_job())  # which the first dies of
        await engine.load("plain", Served(CHECKPOINTS["plain"]))
        return both, await engine.sample(make_job("plain", steps=3))

    both, answer = asyncio.run(load_and_ask())
    assert both == [{"images", "points", "learned"}] * 2
    assert len(answer.data) == 1 and first.ended


def test_a_model_that_only_one_worker_can_load_stays_on_none(engine):
    first, second = engine._workers
    learned = Served(CHECKPOINTS["learned"])

    def full(*_):
        raise MemoryError("the device is full")

    async def load():
        load_it, second._runner.load = second._runner.load, full
        with pytest.raises(MemoryError, match="the device is full"):
            await engine.load("learned", learned)
        wait_for(lambda: "learned" not in first.models, every=0.01)
        second._runner.load = load_it
        await engine.load("learned", learned)
        return await engine.sample(make_job("learned", steps=3))

    assert len(asyncio.run(load()).data) == 1
    assert all("learned" in worker.models for worker in engine._workers)


def test_a_worker_that_was_given_up_shows_no_more_previews(engine):
    """It comes to itself in the middle of a job that another has gone on with."""
    first, second = engine._workers
    second.backlog.add(-1, make_job(n=64, steps=50))  # so that the job goes to the first
    tick, ticks = first._runner.tick, itertools.count(1)
    begun, release, seen = threading.Event(), threading.Event(), []

    def stuck(*arguments):
        done = tick(*arguments)
        if next(ticks) == 4:
            begun.set()
            release.wait(60)
        return done

    first._runner.tick = stuck
    job = replace(make_job(steps=10, seed=9), preview_steps=(2, 4, 6, 8))

    async def scenario():
        asked = asyncio.ensure_future(engine.result(engine.submit(job, seen.append)))
        await asyncio.to_thread(begun.wait, 60)
        engine.give_up(first.name)
        await asked
        release.set()
        await asyncio.to_thread(first._thread.join, 60)
        await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(scenario(), 60))
    assert [preview.step for preview in seen] == [2, 4, 6, 8]


def ticks(engine: Engine, worker: Worker) -> float:
    registry = engine._metrics.registry
    names = [MODELS[name].name for name in MODELS]
    labels = [{"device": worker.name, "model": name} for name in names]
    return sum(registry.get_sample_value("spirale_tick_seconds_count", one) or 0.0 for one in labels)
