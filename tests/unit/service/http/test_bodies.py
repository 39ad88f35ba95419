"""How long a body is waited for."""

import asyncio

import pytest

from service.http.bodies import Bodies
from service.http.problems import Problem


async def waited(bodies: Bodies, seconds: float) -> int:
    """The status that a body is answered with which never comes."""
    with pytest.raises(Problem) as told:
        async with bodies.awaited(asyncio.get_running_loop().time() + seconds, seconds):
            await asyncio.Event().wait()
    return told.value.status


def test_a_body_is_waited_for_until_it_is_due_and_not_where_the_service_ends():
    async def look() -> tuple[int, ...]:
        bodies = Bodies()
        late = await waited(bodies, 0.01)
        waiting = asyncio.ensure_future(waited(bodies, 60))
        await asyncio.sleep(0)
        bodies.break_off()
        return late, await waiting, await waited(bodies, 60)

    assert asyncio.run(look()) == (408, 503, 503)
    assert asyncio.run(came()) == "whole"


async def came() -> str:
    async with Bodies().awaited(asyncio.get_running_loop().time() + 60, 60):
        return "whole"
