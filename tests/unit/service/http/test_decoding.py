"""What decodes pictures has a bound, and threads of its own."""

import asyncio
import threading

import pytest

from service.engine.job import EngineFull
from service.http import decoding
from service.http.decoding import Decoding
from service.metrics import Metrics


def test_so_many_wait_and_others_are_refused_at_once(monkeypatch):
    monkeypatch.setattr(decoding, "MOST_WAITING", 3)
    may_end = threading.Event()

    async def ask(pool: Decoding) -> list[object]:
        waiting = [asyncio.ensure_future(pool.run(may_end.wait, 30)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(EngineFull):
            await pool.run(str, 5)
        may_end.set()
        return [*await asyncio.gather(*waiting), await pool.run(str, 5)]

    metrics = Metrics()
    with Decoding(metrics) as pool:
        assert asyncio.run(ask(pool)) == [True, True, True, "5"]
    assert metrics.registry.get_sample_value("spirale_rejected_total", {"reason": "full"}) == 1


def test_who_leaves_makes_room_and_what_fails_says_so(monkeypatch):
    monkeypatch.setattr(decoding, "MOST_WAITING", 1)
    may_end = threading.Event()

    async def ask(pool: Decoding) -> str:
        gone = asyncio.ensure_future(pool.run(may_end.wait, 30))
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        may_end.set()
        with pytest.raises(ZeroDivisionError):
            await pool.run(divmod, 1, 0)
        return await pool.run(str, 5)

    with Decoding(Metrics()) as pool:
        assert asyncio.run(ask(pool)) == "5"
