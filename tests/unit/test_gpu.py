"""The engine on CUDA: what holds on the CPU holds there too. Skipped where there is none."""

import asyncio
import random

import numpy as np
import pytest
import torch

from model.conditions import Conditions
from model.data import to_uint8
from model.noise import normal
from model.plan import make_plan
from model.sampling_loop import sample
from service.engine.engine import Engine
from service.engine.options import EngineOptions
from service.metrics import Metrics
from tests.jobs import CHECKPOINTS, SERVED, random_job

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: the engine was not run on one"),
]


def test_mixed_requests_give_the_bytes_that_each_gives_alone():
    draw = random.Random(0)
    jobs = [random_job(draw) for _ in range(100)]

    async def ask(engine: Engine, at_once: bool) -> list[np.ndarray]:
        engine.start()
        while not engine.snapshot().ready:
            assert engine.snapshot().failure is None
            await asyncio.sleep(0.05)
        try:
            if at_once:
                return [answer.data for answer in await asyncio.gather(*map(engine.sample, jobs))]
            return [(await engine.sample(job)).data for job in jobs]
        finally:
            await asyncio.to_thread(engine.stop, 10)

    options = EngineOptions(device="cuda", precision="float32", max_queued_seconds=1e6, deadline_seconds=1e6)
    crowd = asyncio.run(ask(Engine(SERVED, options, Metrics()), at_once=True))
    alone = asyncio.run(ask(Engine(SERVED, options, Metrics()), at_once=False))
    for one, other in zip(crowd, alone, strict=True):
        np.testing.assert_array_equal(one, other)


def test_noise_is_that_of_the_cpu_to_the_last_bit():
    seeds, steps = torch.arange(1000) * 7919, torch.arange(1000) % 50
    on_cpu = normal(seeds, steps, (3, 5))
    assert torch.equal(normal(seeds.cuda(), steps.cuda(), (3, 5)).cpu(), on_cpu)


@pytest.mark.parametrize("name", ["images", "points"])
def test_samples_are_close_to_those_of_the_cpu(name):
    """Not the same bytes: the kernels round differently."""
    checkpoint = CHECKPOINTS[name]
    plan = make_plan(checkpoint.schedule, "dpmpp-2m", 5)
    conditions, seeds = Conditions(torch.zeros(8, dtype=torch.int64), torch.full((8,), 1.5)), torch.arange(8)
    data = checkpoint.config.data
    on_cpu = sample(checkpoint.denoiser("cpu"), plan, conditions, seeds, data.shape)
    on_gpu = sample(checkpoint.denoiser("cuda"), plan, conditions, seeds.cuda(), data.shape).cpu()
    torch.testing.assert_close(on_gpu, on_cpu, rtol=0, atol=0.02)
    if data.kind == "images":
        difference = to_uint8(data.restore(on_gpu)).astype(int) - to_uint8(data.restore(on_cpu))
        assert np.abs(difference).mean() < 1
