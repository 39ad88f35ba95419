"""What a soak counts as wrong."""

import json

import httpx
import pytest

from benchmarks.soak import LEFT, is_wrong, rows_in, status_of
from service.engine.job import JobFailed
from service.http.problems import of_engine
from service.metrics import Metrics
from service.responses.event_stream import MEDIA_TYPE, _event


def test_rows_of_all_devices_are_seen():
    metrics = Metrics()
    for device, active, queued in (("cpu:0", 2, 0), ("cpu:1", 3, 10)):
        metrics.rows_active.labels(device).set(active)
        metrics.rows_queued.labels(device).set(queued)
    assert rows_in(metrics.exposition().decode()) == 15
    with pytest.raises(AssertionError):
        rows_in("spirale_rows 0.0")


def test_what_broke_is_wrong_and_what_the_client_left_is_not():
    assert [status for status in (200, 422, 429, 503, 504, LEFT) if is_wrong(status)] == []
    assert all(map(is_wrong, (500, 502, "ReadError", "RemoteProtocolError", "ReadTimeout")))


def test_a_stream_that_ends_in_an_error_has_its_status():
    progress = _event("progress", json.dumps({"step": 1, "of": 3}))
    error = _event("error", json.dumps(of_engine(JobFailed("broken")).body()), last=True)
    result = _event("result", json.dumps({"seed": 3, "status": 7}), last=True)
    answers = [
        httpx.Response(200, content=progress + last, headers={"content-type": MEDIA_TYPE}) for last in (error, result)
    ]
    assert [status_of(answer) for answer in answers] == [500, 200]
    assert status_of(httpx.Response(200, json={})) == 200
