"""Clients that keep a server busy while it is measured."""

import asyncio

import pytest

from benchmarks.engine import end


def test_a_client_that_died_spoils_the_measurement_and_the_others_are_ended():
    async def die():
        raise ConnectionError("gone")

    async def measure(*clients):
        busy = [asyncio.create_task(client) for client in clients]
        await asyncio.sleep(0)
        try:
            await end(busy)
        finally:
            assert all(task.done() for task in busy)

    asyncio.run(measure(asyncio.sleep(3600), asyncio.sleep(3600)))
    with pytest.raises(ConnectionError):
        asyncio.run(measure(asyncio.sleep(3600), die()))
