"""The load that servers are compared under."""

import asyncio

import httpx
import pytest

from benchmarks import load
from benchmarks.peers.compare import Point


@pytest.mark.parametrize("rate", [1e-6, 20.0])
def test_a_load_has_a_request_however_short_it_is(monkeypatch, rate):
    """A percentile of none would be no number, and the load point no answer."""
    answer = httpx.MockTransport(lambda request: httpx.Response(200))
    monkeypatch.setattr(load, "client", lambda url: httpx.AsyncClient(base_url=url, transport=answer))
    seconds = 0.2
    found = asyncio.run(load.poisson("http://server", rate, seconds, 5.0, lambda _: ("10", {}), "/sample"))
    assert found and all(0 < one.came < seconds and one.status == 200 for one in found)
    assert Point(rate, found, seconds).kept_up
