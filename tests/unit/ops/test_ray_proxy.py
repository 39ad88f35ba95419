"""A request whose replica died may be asked again; a failure of the service itself is passed on. It needs no Ray."""

import asyncio

import pytest
from starlette.responses import JSONResponse, PlainTextResponse, Response

from ops.ray.proxy_middleware import middlewares


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (PlainTextResponse("The actor died.", 500), 503),
        (Response(status_code=500), 503),
        (JSONResponse({"status": 500}, 500, media_type="application/problem+json"), 500),
        (PlainTextResponse("png", 200), 200),
        (PlainTextResponse("full", 429), 429),
    ],
)
def test_a_plain_500_alone_becomes_a_503(answer, status):
    sent = []

    async def send(message):
        sent.append(message)

    (middleware,) = middlewares()
    asyncio.run(middleware.cls(answer)({"type": "http"}, None, send))
    head, body = sent
    assert head["status"] == status and body["body"] == answer.body
    assert ((b"retry-after", b"2") in head["headers"]) is (status == 503)
