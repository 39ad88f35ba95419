"""Which models a chunk holds while it is sampled."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

from service.engine.key import ANYBODY
from service.jobs.chunk_samples import sampled


def test_lines_of_several_models_need_room_for_one_of_them_at_a_time():
    held: list[str] = []

    @contextmanager
    def in_memory(model: str) -> Iterator[None]:
        held.append(model)
        yield
        held.pop()

    async def hold(model: str):
        assert held == [], "there is no room"
        return in_memory(model)

    async def result(job: SimpleNamespace) -> str:
        await asyncio.sleep(0)
        assert held == [job.model]
        return job.line

    engine = SimpleNamespace(submit=lambda job, **_: job, result=result)
    jobs = [SimpleNamespace(model=model, line=f"{model}{line}") for line, model in enumerate("abba")]
    assert asyncio.run(sampled(jobs, engine, ANYBODY, hold)) == ["a0", "b1", "b2", "a3"] and held == []
