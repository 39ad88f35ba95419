"""The engine jobs of a chunk → their samples, as background work."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager

from service.engine.engine import Engine
from service.engine.job import Job, JobFailed, Samples
from service.engine.key import Key


async def sampled(
    jobs: Sequence[Job], engine: Engine, key: Key, hold: Callable[[str], Awaitable[AbstractContextManager[None]]]
) -> list[Samples | JobFailed]:
    """In the jobs' order; of one model after the other, for there may be no room for two.

    hold  keeps a model in memory, by its key

    Raises EngineStopped, and what `hold` raises.
    """

    async def sample(job: Job) -> Samples:
        return await engine.result(engine.submit(job, key=key, background=True))

    found: dict[int, Samples | JobFailed] = {}
    for model in dict.fromkeys(job.model for job in jobs):
        places = [place for place, job in enumerate(jobs) if job.model == model]
        with await hold(model):
            made = await asyncio.gather(*(sample(jobs[place]) for place in places), return_exceptions=True)
        for place, one in zip(places, made, strict=True):
            if isinstance(one, BaseException) and not isinstance(one, JobFailed):
                raise one
            found[place] = one
    return [found[place] for place in range(len(jobs))]
