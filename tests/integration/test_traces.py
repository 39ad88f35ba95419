"""Spans of requests, by an exporter that keeps them and by a collector on 127.0.0.1; without traces there is none."""

import re
import socketserver
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest
from fastapi.testclient import TestClient
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from pydantic import ValidationError

from service import open_telemetry
from service.app import create_app
from service.http.trace_context import TraceContext
from service.settings import Settings
from tests.integration.conftest import wait_until_ready

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"
BODY = {"dataset": "mnist", "label": "7", "steps": 3, "sampler": "ddim", "seed": 1}


@pytest.fixture(scope="module")
def app(checkpoints) -> Iterator[tuple[TestClient, InMemorySpanExporter]]:
    """A client of an app with traces, and what keeps its spans."""
    exporter = InMemorySpanExporter()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(open_telemetry, "collector_at", lambda address: exporter)
        app = create_app(Settings(checkpoints=checkpoints, device="cpu", traces="http://127.0.0.1:4318"))
    with TestClient(app) as client:
        wait_until_ready(client)
        yield client, exporter


@pytest.fixture
def traced(app):
    """The client, and what gives the spans that have ended since."""
    client, exporter = app
    (traces,) = [one.kwargs["traces"] for one in client.app.user_middleware if one.cls is TraceContext]
    traces._provider.force_flush()
    exporter.clear()

    def spans():
        traces._provider.force_flush()
        return exporter.get_finished_spans()

    return client, spans


def test_a_request_is_a_span_of_its_callers_trace_with_its_stages_in_it(traced):
    client, spans = traced
    answer = client.post("/sample", json=BODY, headers={"traceparent": SAMPLED, "tracestate": "a=b"})
    assert answer.status_code == 200
    found = spans()
    assert {span.context.trace_id for span in found} == {int(TRACE, 16)}
    by_name = {span.name: span for span in found}
    assert sorted(span.name for span in found) == [
        "POST /sample",
        "encode",
        "queue",
        "sampling",
        "tick",
        "tick",
        "tick",
    ]
    request, sampling = by_name["POST /sample"], by_name["sampling"]
    assert request.parent.span_id == int(PARENT, 16) and request.attributes["http.response.status_code"] == 200
    assert {by_name[name].parent.span_id for name in ("queue", "sampling", "encode")} == {request.context.span_id}
    ticks = [span for span in found if span.name == "tick"]
    assert {span.parent.span_id for span in ticks} == {sampling.context.span_id}
    assert all(span.attributes == {"spirale.rows": 1, "spirale.batch_rows": 1} for span in ticks)
    assert request.start_time <= by_name["queue"].start_time <= by_name["queue"].end_time == sampling.start_time
    assert all(sampling.start_time <= span.start_time < span.end_time <= sampling.end_time for span in ticks)
    assert answer.headers["traceparent"] == f"00-{TRACE}-{request.context.span_id:016x}-01"
    assert answer.headers["tracestate"] == "a=b"


def test_traces_change_no_samples(traced, client):
    assert traced[0].post("/sample", json=BODY).content == client.post("/sample", json=BODY).content


def test_what_the_caller_does_not_trace_is_passed_on_and_not_recorded(traced):
    client, spans = traced
    answer = client.post("/sample", json=BODY, headers={"traceparent": UNSAMPLED})
    assert re.fullmatch(f"00-{TRACE}-[0-9a-f]{{16}}-00", answer.headers["traceparent"])
    assert spans() == ()


def test_a_stream_is_traced_until_its_end_and_a_failure_is_marked(traced):
    client, spans = traced
    assert client.post("/sample", json=BODY, headers={"Accept": "text/event-stream"}).status_code == 200
    assert client.post("/sample", json=BODY | {"dataset": "none"}).status_code == 404
    assert client.request("BREW", "/sample").status_code == 405
    client.get("/readyz")
    stream, refused, unknown = [span for span in spans() if span.kind.name == "SERVER"]
    assert stream.name == refused.name == "POST /sample" and unknown.name.startswith("_OTHER")
    assert refused.attributes["http.response.status_code"] == 404 and refused.status.is_ok
    inside = [span for span in spans() if span.parent and span.parent.span_id == stream.context.span_id]
    assert {span.name for span in inside} == {"queue", "sampling", "encode"}
    assert all(span.end_time <= stream.end_time for span in inside)


def test_latencies_have_the_trace_as_an_exemplar_in_openmetrics_alone(traced):
    client, _ = traced
    client.post("/sample", json=BODY, headers={"traceparent": SAMPLED})
    answer = client.get("/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert list(text_string_to_metric_families(answer.text))  # Prometheus' own parser takes it
    for stage in ("request", "queue", "sampling", "encode"):
        assert re.search(f'^spirale_{stage}_seconds_bucket.* # {{.*trace_id="{TRACE}"', answer.text, re.MULTILINE), (
            stage
        )
    assert "trace_id" not in client.get("/metrics").text


def test_a_collector_gets_the_spans_by_otlp_before_the_service_ends(make_client, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    got = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            body = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
            got.append((self.path, body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        client = make_client(traces=f"http://127.0.0.1:{server.server_address[1]}")
        client.post("/sample", json=BODY, headers={"traceparent": SAMPLED})
        client.__exit__(None, None, None)
        server.shutdown()
    client.__enter__()  # for the fixture to end
    assert {path for path, _ in got} == {"/v1/traces"}
    (resource,) = [spans for _, body in got for spans in body.resource_spans]
    assert {one.key: one.value.string_value for one in resource.resource.attributes}["service.name"] == "spirale"
    spans = [span for scope in resource.scope_spans for span in scope.spans]
    assert {span.name for span in spans} == {"POST /sample", "queue", "sampling", "tick", "encode"}
    assert {span.trace_id.hex() for span in spans} == {TRACE}


@pytest.mark.parametrize(("share", "sampled"), [(0.0, False), (1.0, True)])
def test_a_share_is_of_the_requests_without_a_parent(share, sampled):
    traces = open_telemetry.Traces(InMemorySpanExporter(), share)
    assert (traces.request("POST", "/sample", {}).exemplar is not None) is sampled
    assert traces.request("POST", "/sample", {"traceparent": SAMPLED}).exemplar["trace_id"] == TRACE
    assert traces.request("POST", "/sample", {"traceparent": UNSAMPLED}).exemplar is None
    traces.close()


def test_without_traces_nothing_is_answered_of_them(client):
    answer = client.post("/sample", json=BODY, headers={"traceparent": SAMPLED})
    assert "traceparent" not in answer.headers
    assert (
        "openmetrics"
        not in client.get("/metrics", headers={"Accept": "application/openmetrics-text"}).headers["content-type"]
    )


@pytest.mark.parametrize("address", ["localhost:4318", "ftp://localhost", "http://localhost:4318/v1/traces"])
def test_a_wrong_address_is_refused(address):
    with pytest.raises(ValidationError, match="a collector is such as"):
        Settings(traces=address)


def test_without_the_extra_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk", None)
    with pytest.raises(ValidationError, match=r"spirale\[otel\]"):
        Settings(traces="http://localhost:4318")
