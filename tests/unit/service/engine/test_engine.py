"""The engine gives the plain loop's bytes, whatever else it is doing, and fails one job at a time."""

import asyncio
import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache, partial

import numpy as np
import pytest
import torch
from torch._dynamo.utils import counters

from model.conditions import NO_LABEL
from model.data import to_uint8
from model.denoiser import Denoiser
from model.sampling_loop import SamplingState, sampling_states
from service.engine.buckets import BucketedNetwork, bit_equal_sizes
from service.engine.engine import Engine
from service.engine.job import DeadlinePassed, EngineFull, EngineStopped, Job, JobFailed
from service.engine.key import Allowance, Key
from service.engine.options import EngineOptions
from service.engine.served_model import Served
from service.metrics import Metrics
from tests.jobs import CHECKPOINTS, SERVED, make_job, random_job, rest_of
from tests.tiny import IMAGES, POINTS, tiny_checkpoint
from tests.waiting import wait_for


@pytest.fixture
def make_engine():
    def make(served=SERVED, **options) -> Engine:
        options = {"device": "cpu", "precision": "float32", **options}
        engine = Engine(served, EngineOptions(**options), Metrics())
        engine.start()
        engines.callback(engine.stop, 10)
        wait_for(lambda: engine.snapshot().ready or engine.snapshot().failure, every=0.01)
        assert engine.snapshot().ready
        return engine

    with contextlib.ExitStack() as engines:
        yield make


def returned(generator):
    """What a generator returns when it has been run through."""
    while True:
        try:
            next(generator)
        except StopIteration as end:
            return end.value


@lru_cache(len(CHECKPOINTS))
def solo_denoiser(name: str, engine: Engine) -> Denoiser:
    """The model's, at the engine's batch sizes."""
    model = engine.snapshot().models[name]
    gradients = {
        asked: BucketedNetwork(
            guidance_model.gradient(), model.guidance_models[guidance_model.name].sizes, guidance_model.example()
        )
        for asked, guidance_model in SERVED[name].guidance_models.items()
    }
    checkpoint, nothing = CHECKPOINTS[name], CHECKPOINTS[name].example()
    controls = {
        kind: BucketedNetwork(control.control(), model.controlnets[control.name].sizes, nothing)
        for kind, control in SERVED[name].controls.items()
    }
    weak = SERVED[name].weak
    return checkpoint.denoiser(
        gradients=gradients,
        controls=controls,
        weak=weak and BucketedNetwork(weak.torch_network(), model.guidance_models[weak.name].sizes, weak.example()),
        network=BucketedNetwork(checkpoint.torch_network(), model.curve.sizes, nothing),
    )


def solo(job: Job, engine: Engine) -> np.ndarray:
    """The job's samples by the plain loop, alone, at the engine's batch sizes."""
    *_, last = states_of(job, engine)
    return last.x.numpy()


def states_of(job: Job, engine: Engine) -> Iterator[SamplingState]:
    """Every step of that."""
    checkpoint, denoiser = CHECKPOINTS[job.model], solo_denoiser(job.model, engine)
    seeds = torch.from_numpy(job.seeds)
    return sampling_states(denoiser, job.plan, job.conditions, seeds, checkpoint.config.data.shape, job.start)


def as_answered(job: Job, x: np.ndarray) -> np.ndarray:
    data = CHECKPOINTS[job.model].config.data
    restored = data.restore(torch.from_numpy(x))
    return to_uint8(restored) if data.kind == "images" else restored.numpy()


@pytest.mark.parametrize("count", [300, pytest.param(1000, marks=pytest.mark.slow)])
def test_mixed_requests_are_byte_equal_to_the_plain_loop_while_others_come_and_go(make_engine, count):
    engine = make_engine(max_queued_seconds=1e6, deadline_seconds=1e6)
    draw = random.Random(1)
    jobs = [random_job(draw) for _ in range(count)]
    # All that requests differ in is among them, and again and again.
    assert min(Counter(job.model for job in jobs).values()) > 20 and {job.model for job in jobs} == set(SERVED)
    assert (
        sum(job.start is not None for job in jobs) > 50 and sum(job.conditions.hints is not None for job in jobs) > 10
    )
    fate = [draw.random() for _ in range(100)]

    async def ask_and_leave(job: Job, patience: float):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(engine.sample(job), patience)

    async def ask_all():
        leaving = [asyncio.ensure_future(ask_and_leave(random_job(draw), patience)) for patience in fate]
        answers = await asyncio.gather(*(engine.sample(job) for job in jobs))
        await asyncio.gather(*leaving)
        return answers

    for job, answer in zip(jobs, asyncio.run(ask_all()), strict=True):
        np.testing.assert_array_equal(answer.data, as_answered(job, solo(job, engine)))
    assert value(engine, "spirale_cancelled_total") > 0


def test_at_the_sizes_that_are_kept_a_row_has_the_same_bits_everywhere():
    for checkpoint in CHECKPOINTS.values():
        shape = checkpoint.config.data.shape
        denoiser = checkpoint.denoiser()
        network, example = denoiser.network, checkpoint.example()
        of_network = shape, checkpoint.schedule.T, torch.device("cpu"), example
        sizes = tuple(returned(bit_equal_sizes(network, (4, 8, 64), *of_network)))
        assert sizes[-1] == 64
        x, t = torch.randn(64, *shape), torch.randint(1, 51, (64,))
        label = torch.randint(-1, 2, (64,)) if denoiser.text_width is None else torch.randn(64, denoiser.text_width)
        bucketed = BucketedNetwork(network, sizes, example)
        with torch.inference_mode():
            whole = bucketed(x, t, label)
            for rows in (1, 3, 4, 5, 8):
                for start in (0, 13, 64 - rows):
                    part = slice(start, start + rows)
                    assert torch.equal(bucketed(x[part], t[part], label[part]), whole[part])


def test_sizes_at_which_bits_differ_are_dropped_but_the_largest():
    def fickle(x, t, label):
        return x * (1.0 if len(x) in (8, 64) else 1.0 + 1e-6)

    found = bit_equal_sizes(fickle, (4, 8, 16, 64), (2,), 10, torch.device("cpu"), torch.tensor(NO_LABEL))
    assert tuple(returned(found)) == (8, 64)


def test_a_size_that_differs_in_a_single_row_is_dropped():
    def nearly(x, t, label):
        return x * (1 + 1e-6 * (x == nearly.unlucky)) if len(x) == 4 else x

    generator = torch.Generator().manual_seed(0)  # as the check draws them
    nearly.unlucky = torch.randn(64, 2, generator=generator)[37, 1]
    found = bit_equal_sizes(nearly, (4, 8, 64), (2,), 10, torch.device("cpu"), torch.tensor(NO_LABEL))
    assert tuple(returned(found)) == (8, 64)


def test_what_a_network_reads_beside_its_condition_is_drawn_in_its_own_type():
    """A student's timestep of arrival: a graph that is compiled for floats is not the one that requests use."""
    seen = []

    def network(x, t, label, s):
        seen.append(s)
        return x

    of_network = (2,), 10, torch.device("cpu"), torch.tensor(NO_LABEL)
    returned(bit_equal_sizes(network, (4, 64), *of_network, torch.tensor(0)))
    assert {s.dtype for s in seen} == {torch.int64}
    assert set(torch.cat(seen).tolist()) == set(range(11))


def test_cancelling_frees_the_rows_and_leaves_the_neighbours_alone(make_engine):
    engine = make_engine()
    kept = make_job(n=2, steps=20, seed=5)

    async def scenario():
        doomed = [asyncio.create_task(engine.sample(make_job(n=64, steps=50, seed=i))) for i in range(5)]
        staying = asyncio.create_task(engine.sample(kept))
        await asyncio.sleep(0.05)
        for task in doomed:
            task.cancel()
        await asyncio.gather(*doomed, return_exceptions=True)
        answer = await staying
        while value(engine, "spirale_rows_active", device="cpu") or value(engine, "spirale_rows_queued", device="cpu"):
            await asyncio.sleep(0.01)
        return answer

    answer = asyncio.run(asyncio.wait_for(scenario(), 60))
    np.testing.assert_array_equal(answer.data, as_answered(kept, solo(kept, engine)))
    assert value(engine, "spirale_cancelled_total") == 5
    assert engine._workers[0].backlog.seconds == 0


def test_a_job_starts_from_given_rows_and_ends_where_the_whole_run_does(make_engine):
    engine = make_engine({"points": SERVED["points"]})
    whole = make_job("points", n=3, steps=6, label=1, sampler="ddim", seed=4)
    states = list(states_of(whole, engine))
    rest = [replace(whole, plan=rest_of(whole.plan, cut), start=states[cut - 1].x) for cut in range(1, 6)]

    async def ask_all():
        return await asyncio.gather(*map(engine.sample, [whole, *rest]))

    for answer in asyncio.run(ask_all()):
        np.testing.assert_array_equal(answer.data, as_answered(whole, states[-1].x.numpy()))
    with pytest.raises(ValueError, match="3 seeds, but 2 rows to start from"):
        replace(whole, start=torch.zeros(2, 2))


def test_who_leaves_pays_for_the_tick_in_hand(make_engine):
    engine = make_engine()
    (worker,) = engine._workers
    tick, key = worker._runner.tick, Key("alice", allowance=Allowance(60, clock=lambda: 0.0))  # nothing is earned
    begun = threading.Event()

    def slow(*arguments):
        begun.set()
        time.sleep(0.2)
        return tick(*arguments)

    worker._runner.tick = slow

    async def scenario():
        ticket = engine.submit(make_job(steps=50), key=key)
        asked = asyncio.ensure_future(engine.result(ticket))
        await asyncio.to_thread(begun.wait, 60)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        while worker._tickets:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0)
        return ticket

    ticket = asyncio.run(scenario())
    assert ticket.used >= 0.2 and key.allowance.left == pytest.approx(60 - ticket.used)


def test_background_jobs_show_previews(make_engine):
    engine, seen = make_engine(), []
    job = replace(make_job(steps=10), preview_steps=(2, 5))

    async def scenario():
        return await engine.result(engine.submit(job, seen.append, background=True))

    asyncio.run(scenario())
    assert [preview.step for preview in seen] == [2, 5]


def test_previews_come_in_order_and_change_no_byte(make_engine):
    engine = make_engine()
    seen = []
    plain = make_job(n=3, steps=20, seed=9)
    watched = replace(plain, preview_steps=(5, 10, 20))

    async def scenario():
        watching = engine.result(engine.submit(watched, seen.append))
        return await asyncio.gather(watching, engine.sample(plain), engine.sample(make_job(n=9, steps=7)))

    with_previews, without, _ = asyncio.run(scenario())
    np.testing.assert_array_equal(with_previews.data, without.data)
    assert [preview.step for preview in seen] == [5, 10]  # at the last step there is the result itself
    states = {state.step: state for state in states_of(plain, engine)}
    for preview in seen:
        np.testing.assert_array_equal(preview.x0, as_answered(plain, states[preview.step].x0.numpy()))
        np.testing.assert_array_equal(preview.x_t, as_answered(plain, states[preview.step].x.numpy()))


def test_a_value_that_is_not_finite_fails_its_own_job_only(make_engine):
    checkpoint = tiny_checkpoint(IMAGES)
    checkpoint.network.embedding.label.weight.data[1 + 7] = float("nan")  # label 7
    engine = make_engine({"images": Served(checkpoint)})

    async def scenario():
        jobs = [make_job(label=label, seed=label, steps=5) for label in range(10)]
        return await asyncio.gather(*(engine.sample(job) for job in jobs), return_exceptions=True)

    answers = asyncio.run(scenario())
    assert [label for label, answer in enumerate(answers) if isinstance(answer, JobFailed)] == [7]
    assert engine.snapshot().ready


def test_a_tick_that_raises_is_run_again_job_by_job(make_engine):
    engine = make_engine()
    tick = engine._workers[0]._runner.tick

    def poisoned(model, jobs, slices):
        if any(job.seeds[0] == 666 for job in jobs.values()):
            raise RuntimeError("poison")
        return tick(model, jobs, slices)

    engine._workers[0]._runner.tick = poisoned
    good = make_job(seed=1, steps=5)

    async def scenario():
        return await asyncio.gather(
            engine.sample(good), engine.sample(make_job(seed=666, steps=5)), return_exceptions=True
        )

    answer, failure = asyncio.run(scenario())
    assert isinstance(failure, JobFailed) and "poison" not in str(failure)
    np.testing.assert_array_equal(answer.data, as_answered(good, solo(good, engine)))


def test_past_the_bound_the_answer_is_full_and_an_idle_engine_takes_anything(make_engine):
    engine = make_engine(max_queued_seconds=0.01)

    async def scenario():
        first = asyncio.create_task(engine.sample(make_job(n=64, steps=50)))
        await asyncio.sleep(0)
        with pytest.raises(EngineFull) as full:
            await engine.sample(make_job(n=64, steps=50))
        assert full.value.retry_after >= 1
        await first

    asyncio.run(scenario())
    assert value(engine, "spirale_rejected_total", reason="full") == 1


def test_a_background_job_has_no_bound_and_no_deadline_and_gives_the_same_bytes(make_engine):
    """Nor does a full engine turn it away, nor is it counted among requests."""
    engine = make_engine(max_queued_seconds=0.01, deadline_seconds=0.01)
    job = make_job(n=32, steps=50)

    async def scenario():
        first, second = (engine.submit(job, background=True) for _ in range(2))
        assert engine.snapshot().backlog_seconds == 0
        gone = asyncio.ensure_future(engine.result(second))
        await asyncio.sleep(0)
        gone.cancel()
        return await engine.result(first)

    np.testing.assert_array_equal(asyncio.run(scenario()).data, as_answered(job, solo(job, engine)))
    assert value(engine, "spirale_cancelled_total") == 0
    assert not value(engine, "spirale_sampling_seconds_count", dataset="mnist")
    wait_for(lambda: not engine._workers[0]._tickets, every=0.01)


def test_a_job_past_its_deadline_is_given_up(make_engine):
    """It looked quick, and then every tick took twenty times as long."""
    engine = make_engine(deadline_seconds=1.0)
    runner = engine._workers[0]._runner
    tick = runner.tick
    runner.tick = lambda *arguments: (time.sleep(0.05), tick(*arguments))[1]

    async def scenario():
        with pytest.raises(DeadlinePassed):
            await engine.sample(make_job(n=1, steps=50, seed=1))
        while value(engine, "spirale_rows_active", device="cpu"):
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_stopping_finishes_what_was_accepted_and_takes_no_more(make_engine):
    engine = make_engine()

    async def scenario():
        accepted = asyncio.create_task(engine.sample(make_job(n=8, steps=20)))
        await asyncio.sleep(0.01)
        await asyncio.to_thread(engine.stop, 30)
        assert len((await accepted).data) == 8
        with pytest.raises(EngineStopped):
            await engine.sample(make_job())

    asyncio.run(scenario())


def test_a_job_that_was_accepted_before_the_drain_is_done_and_the_engine_stays_up(make_engine):
    engine = make_engine()

    async def scenario():
        accepted = asyncio.create_task(engine.sample(make_job(n=8, steps=20)))
        await asyncio.sleep(0)
        engine.drain()
        assert len((await accepted).data) == 8
        with pytest.raises(EngineStopped):
            await engine.sample(make_job())

    asyncio.run(scenario())
    assert engine.snapshot().failure is None and engine._workers[0]._thread.is_alive()


def test_a_model_that_cannot_be_warmed_up_is_left_out_and_the_others_serve(make_engine):
    broken = tiny_checkpoint(POINTS, name="broken")
    broken.network.forward = None
    object.__setattr__(broken, "denoiser", lambda *_, **__: 1 / 0)
    engine = make_engine({"broken": Served(broken), "images": Served(CHECKPOINTS["images"])})
    assert list(engine.snapshot().models) == ["images"]

    async def scenario():
        with pytest.raises(EngineStopped, match="the model broken is not there"):
            await engine.sample(replace(make_job("points"), model="broken"))
        assert len((await engine.sample(make_job())).data) == 1

    asyncio.run(scenario())


def test_one_model_at_first_is_the_first_that_can_be_made_ready(make_engine):
    broken = tiny_checkpoint(POINTS, name="broken")
    object.__setattr__(broken, "denoiser", lambda *_, **__: 1 / 0)
    models = {"broken": Served(broken)} | {name: SERVED[name] for name in ("images", "points")}
    engine = make_engine(models, load="first")
    assert list(engine.snapshot().models) == ["images"] and engine.snapshot().warmed == (1, 1)


@pytest.mark.parametrize("broken", ["raises", "gives no numbers"])
def test_a_gradient_that_fails_takes_no_neighbour_along(make_engine, broken):
    engine = make_engine()

    def gradient(x, t, label):
        if broken == "raises":
            raise ValueError("no gradient today")
        return torch.full_like(x, float("nan"))

    engine._workers[0]._runner.models["images"].denoiser.gradients["label"]._network = gradient
    kept = make_job(n=2, steps=20, seed=5)

    async def scenario():
        staying = asyncio.create_task(engine.sample(kept))
        guided = asyncio.create_task(engine.sample(make_job(gradient=2.0, steps=20)))
        with pytest.raises(JobFailed):
            await guided
        return await staying

    np.testing.assert_array_equal(asyncio.run(scenario()).data, as_answered(kept, solo(kept, engine)))


def test_models_of_one_classifier_share_it(make_engine):
    models = make_engine()._workers[0]._runner.models
    assert models["images"].denoiser.gradients["label"] is models["learned"].denoiser.gradients["label"]
    assert models["images"].denoiser.gradients["label"] is not models["points"].denoiser.gradients["label"]


def test_a_classifier_that_is_read_again_is_not_made_ready_again(make_engine):
    """A reload reads every checkpoint anew; a model that it adds is guided by a classifier that is there."""
    engine = make_engine({"images": SERVED["images"]})
    again = {asked: replace(one) for asked, one in SERVED["learned"].guidance_models.items()}
    asyncio.run(engine.load("learned", replace(SERVED["learned"], guidance_models=again)))
    models = engine._workers[0]._runner.models
    assert models["images"].denoiser.gradients["label"] is models["learned"].denoiser.gradients["label"]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "sizes"), [("points", (1, 2, 3, 4, 5, 6, 7, 8, 16)), ("images", (16,))])
def test_compiled_networks_are_compiled_before_anything_is_served(make_engine, monkeypatch, name, sizes):
    """By a compiler that only records the graphs. Torch gives up after eight of them, unless it is told otherwise."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    torch._dynamo.reset()
    counters.clear()
    engine = make_engine({name: SERVED[name]}, compile=True, batch_sizes=sizes)
    kept = engine.snapshot().models[name].curve.sizes
    # With hints: what reads them (one graph for both kinds), and another one for rows that they add something to.
    # The points have a weak network beside theirs.
    graphs = len(sizes) + (len(sizes) + len(kept) if name == "images" else len(sizes))
    assert counters["stats"]["unique_graphs"] == graphs
    draw = random.Random(2)
    jobs = [job for job in (random_job(draw) for _ in range(200)) if job.model == name]

    async def ask_all():
        return await asyncio.gather(*(engine.sample(job) for job in jobs))

    for job, answer in zip(jobs, asyncio.run(ask_all()), strict=True):
        np.testing.assert_array_equal(answer.data, as_answered(job, solo(job, engine)))
    assert counters["stats"]["unique_graphs"] == graphs and not counters["unimplemented"]


def test_an_engine_without_any_model_is_dead():
    broken = tiny_checkpoint(POINTS)
    object.__setattr__(broken, "denoiser", lambda *_, **__: 1 / 0)
    engine = Engine({"broken": Served(broken)}, EngineOptions(device="cpu"), Metrics())
    engine.start()
    engine._workers[0]._thread.join(60)
    assert isinstance(engine.snapshot().failure, ZeroDivisionError) and not engine.snapshot().ready


def test_a_model_is_made_ready_between_the_ticks_of_others(make_engine):
    engine = make_engine({"images": SERVED["images"]})
    runner, happened = engine._workers[0]._runner, []
    tick, load = runner.tick, runner.load

    def seen_tick(*arguments):
        happened.append("tick")
        return tick(*arguments)

    def seen_load(*arguments):
        for _ in load(*arguments):
            happened.append("pass")
            yield

    runner.tick, runner.load = seen_tick, seen_load

    async def scenario():
        running = engine.submit(make_job(n=7, steps=50, sampler="ddpm"))
        await engine.load("points", SERVED["points"])
        assert engine.snapshot().keys == {"images", "points"} and not engine.snapshot().workers[0].warming
        await engine.result(running)
        return await engine.sample(make_job("points", label=1))

    fresh = asyncio.run(scenario())
    passes = [number for number, what in enumerate(happened) if what == "pass"]
    assert "tick" in happened[passes[0] : passes[-1]]
    assert all(happened[number + 1] == "tick" for number in passes[:5])  # never two passes while rows wait
    same = make_engine({"images": SERVED["images"], "points": SERVED["points"]})
    np.testing.assert_array_equal(fresh.data, asyncio.run(same.sample(make_job("points", label=1))).data)


def test_a_model_that_is_asked_for_twice_while_it_loads_is_loaded_once(make_engine):
    """A second one would have an arena of its own, without the rows that run."""
    engine = make_engine({"images": SERVED["images"]})
    runner, job = engine._workers[0]._runner, make_job("points", n=7, steps=50, label=1)
    load, loads = runner.load, []

    def seen_load(key, *arguments):
        loads.append(key)
        return load(key, *arguments)

    runner.load = seen_load

    async def scenario():
        both = [asyncio.create_task(engine.load("points", SERVED["points"])) for _ in range(2)]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        found = await engine.sample(job)
        await asyncio.gather(*both)
        return found

    found = asyncio.run(scenario())
    assert loads == ["points"]
    np.testing.assert_array_equal(found.data, as_answered(job, solo(job, engine)))


@pytest.mark.parametrize("wanted", [True, False])
def test_a_model_that_is_retired_while_it_loads_goes_unless_it_is_asked_for_again(make_engine, wanted):
    engine = make_engine({"images": SERVED["images"]})
    worker = engine._workers[0]

    async def scenario():
        loaded = asyncio.create_task(engine.load("points", SERVED["points"]))
        await asyncio.to_thread(wait_for, lambda: worker._loading or "points" in worker.models, every=0.0)
        retired = asyncio.ensure_future(engine.retire("points"))
        if wanted:
            await asyncio.sleep(0)
            await engine.load("points", SERVED["points"])
        await asyncio.gather(loaded, retired)
        return set(engine.snapshot().keys)

    assert asyncio.run(scenario()) == ({"images", "points"} if wanted else {"images"})
    assert set(worker.models) == ({"images", "points"} if wanted else {"images"})


def test_a_model_stays_for_a_job_that_the_thread_has_not_seen_yet(make_engine):
    """A lost worker's job lies in the inbox, its client has gone, and the model is on its way out."""
    engine = make_engine({name: SERVED[name] for name in ("images", "points")})
    worker, job = engine._workers[0], make_job()
    held, release = threading.Event(), threading.Event()
    receive = worker._receive

    def hold():
        held.set()
        release.wait(30)
        return receive()

    async def scenario():
        worker._receive = hold
        await asyncio.to_thread(held.wait, 30)
        ticket = engine.submit(job)
        retired = asyncio.ensure_future(engine.retire("images"))
        engine._in_use.done(ticket.number)  # as it is where the client of a lost job has gone
        worker._retired["images"] = []
        worker._let_go()
        still = "images" in worker.models
        worker._receive = receive
        release.set()
        await engine.result(ticket)
        await retired
        return still

    assert asyncio.run(scenario())
    assert list(worker.models) == ["points"] and engine.snapshot().failure is None


def test_a_device_that_computes_no_more_ends_the_engine(make_engine):
    """A CUDA context that is broken raises for everything, and for good: no job is to blame."""
    engine = make_engine()

    def broken(*_):
        raise RuntimeError("an illegal memory access was encountered")

    engine._workers[0]._runner.models["images"].denoiser.network = broken

    async def scenario():
        with pytest.raises(EngineStopped):
            await engine.sample(make_job())

    asyncio.run(asyncio.wait_for(scenario(), 60))
    assert isinstance(engine.snapshot().failure, RuntimeError) and not engine.snapshot().ready


def test_the_arena_reuses_what_was_freed_and_a_job_keeps_its_rows_when_it_grows(make_engine):
    engine = make_engine()

    async def scenario():
        for round in range(20):
            await asyncio.gather(*(engine.sample(make_job(n=n, steps=3, seed=round)) for n in (1, 5, 9)))

    asyncio.run(scenario())
    assert len(engine._workers[0]._runner.models["images"].arena.x) <= 60
    assert engine._workers[0]._runner._jobs == {}


def test_plans_that_are_no_longer_in_use_are_forgotten_and_those_in_use_are_not(make_engine, monkeypatch):
    monkeypatch.setattr("service.engine.plan_table.ROWS_WORTH_KEEPING", 40)
    engine = make_engine({"images": SERVED["images"]})
    kept = make_job(n=2, steps=50, sampler="ddpm")

    async def scenario():
        staying = asyncio.create_task(engine.sample(kept))
        for i in range(40):
            await engine.sample(make_job(sampler="ddim", eta=i / 100, steps=10))
        return await staying

    np.testing.assert_array_equal(asyncio.run(scenario()).data, as_answered(kept, solo(kept, engine)))
    assert len(engine._workers[0]._runner._plans.t) <= 50 + 40 + 10 + 10


def test_a_dead_thread_leaves_nobody_waiting(make_engine):
    engine = make_engine()

    def die(*_):
        raise SystemExit("died")

    engine._workers[0]._runner.tick = die

    async def scenario():
        with pytest.raises(EngineStopped):
            await engine.sample(make_job())

    asyncio.run(asyncio.wait_for(scenario(), 60))
    assert isinstance(engine.snapshot().failure, SystemExit) and not engine.snapshot().ready


def value(engine: Engine, name: str, **labels: str) -> float:
    return engine._metrics.registry.get_sample_value(name, labels) or 0.0
