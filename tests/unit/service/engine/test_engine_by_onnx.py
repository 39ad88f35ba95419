"""The engine by ONNX Runtime: the plain loop's bytes from ticks of any size, without padding."""

import asyncio
import random
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model.backends.onnx_runtime import onnx_row_function
from model.checkpoints.classifier import load_classifier
from model.checkpoints.control import load_control
from model.checkpoints.denoiser import load_checkpoint
from model.conditions import Conditions
from model.data import to_uint8
from model.plan import make_plan
from model.sampling_loop import sample
from service.engine.engine import Engine
from service.engine.job import Job
from service.engine.options import EngineOptions
from service.engine.row_functions import ReadyFunction, RowFunctions
from service.engine.served_model import Served
from service.metrics import Metrics
from tests.waiting import wait_for

CHECKPOINTS = Path(__file__).parents[4] / "checkpoints"
DIGITS, SPIRAL = load_checkpoint(CHECKPOINTS / "mnist-cfg"), load_checkpoint(CHECKPOINTS / "spiral-ddpm")
CLASSIFIER, SKETCH = (
    load_classifier(CHECKPOINTS / "mnist-classifier"),
    load_control(CHECKPOINTS / "mnist-control-sketch"),
)
SERVED = {"digits": Served(DIGITS, {"label": CLASSIFIER}, {"sketch": SKETCH}), "spiral": Served(SPIRAL)}


@pytest.fixture(scope="module")
def engine():
    metrics = Metrics()
    engine = Engine(SERVED, EngineOptions(device="cpu", threads=2, max_queued_seconds=1e6), metrics)
    engine.metrics = metrics
    engine.start()
    wait_for(lambda: engine.snapshot().ready or engine.snapshot().failure, every=0.01)
    yield engine
    engine.stop(10)


@pytest.fixture(scope="module")
def denoisers():
    """What the plain loop calls, one thread instead of two."""
    digits = DIGITS.denoiser(
        network=onnx_row_function(DIGITS, 1),
        gradients={"label": onnx_row_function(CLASSIFIER, 1)},
        controls={"sketch": onnx_row_function(SKETCH, 1)},
    )
    return {"digits": digits, "spiral": SPIRAL.denoiser(network=onnx_row_function(SPIRAL, 1))}


def random_job(draw: random.Random) -> Job:
    seeds = np.array([draw.randrange(1 << 40) for _ in range(draw.randint(1, 5))])
    if draw.random() < 0.3:
        seeds = np.resize(seeds, draw.randint(1, 300))
        return Job("spiral", make_plan(SPIRAL.schedule, "ddpm", 4), seeds, Conditions.none(len(seeds)))
    conditions = Conditions.alike(
        len(seeds),
        label=draw.choice([-1, 3, 7]),
        guidance_scale=draw.choice([1.0, 1.5]),
        gradient_scale=draw.choice([0.0, 0.0, 2.0]),
    )
    if draw.random() < 0.4:
        conditions = conditions.with_hints(torch.rand(1, 28, 28), "sketch", 1.0)
    return Job(
        "digits", make_plan(DIGITS.schedule, draw.choice(["ddim", "dpmpp-2m"]), draw.randint(1, 3)), seeds, conditions
    )


def test_mixed_jobs_have_the_plain_loops_bytes_and_nothing_is_padded(engine, denoisers):
    draw = random.Random(3)
    torch.manual_seed(0)
    jobs = [random_job(draw) for _ in range(25)]

    async def ask_all():
        return await asyncio.gather(*(engine.sample(job) for job in jobs))

    for job, answer in zip(jobs, asyncio.run(ask_all()), strict=True):
        data = SERVED[job.model].checkpoint.data
        x = data.restore(
            sample(denoisers[job.model], job.plan, job.conditions, torch.from_numpy(job.seeds), data.shape)
        )
        np.testing.assert_array_equal(answer.data, to_uint8(x) if data.kind == "images" else x.numpy())
    for model in ("mnist-cfg", "spiral-ddpm"):
        evaluations = sum(job.network_evaluations for job in jobs if SERVED[job.model].name == model)
        labels = {"device": "cpu", "model": model}
        assert engine.metrics.registry.get_sample_value("spirale_batch_slots_total", labels) == evaluations


def test_what_is_ready_says_how_it_is_computed(engine):
    for model in engine.snapshot().models.values():
        assert (model.backend, model.precision, model.curve.any_size) == ("onnx", "float32", True)
    digits = engine.snapshot().models["digits"]
    beside = {**digits.guidance_models, **digits.controlnets}
    assert {name: (one.backend, one.sizes) for name, one in beside.items()} == {
        "mnist-classifier": ("onnx", ()),
        "mnist-control-sketch": ("onnx", ()),
    }


def test_rows_do_not_wait_for_a_session_that_is_being_made(engine, monkeypatch):
    sampled = threading.Event()

    def made_after_a_sample(*arguments, **options):
        assert sampled.wait(60)
        return onnx_row_function(*arguments, **options)

    monkeypatch.setattr("service.engine.row_functions.onnx_row_function", made_after_a_sample)

    async def scenario():
        loading = asyncio.create_task(engine.load("again", SERVED["spiral"]))
        await asyncio.sleep(0)  # it has been sent
        await engine.sample(random_job(random.Random(1)))
        assert not loading.done() and "again" not in engine.snapshot().keys
        sampled.set()
        await loading

    asyncio.run(scenario())
    assert engine.snapshot().models["again"].backend == "onnx"

    async def end():
        await engine.retire("again")
        assert "again" not in engine.snapshot().keys

    asyncio.run(end())


def test_a_model_whose_graph_is_made_meanwhile_is_another_one_for_a_reload():
    assert Served(SPIRAL).key == Served(replace(SPIRAL)).key != Served(replace(SPIRAL, graph=None)).key


def test_networks_of_the_same_layers_are_timed_once():
    functions = RowFunctions(torch.device("cpu"), "onnx", 1, 1, False)

    def ready(name: str) -> ReadyFunction:
        passes = functions.ready(load_checkpoint(CHECKPOINTS / name), "float32")
        while True:
            try:
                next(passes)
            except StopIteration as end:
                return end.value

    spiral, gaussian = ready("spiral-ddpm"), ready("gaussian-ddpm")
    assert ready("spiral-cfg").seconds is spiral.seconds and set(spiral.seconds) == set(gaussian.seconds)
    assert gaussian.seconds is not spiral.seconds
