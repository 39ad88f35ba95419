"""A request whose replica died may be asked again; what a replica answered is passed on. It needs no Ray."""

import asyncio

import pytest
from starlette.responses import JSONResponse, PlainTextResponse

from ops.ray.proxy_middleware import middlewares


def sent_by(app, kind: str = "http") -> list[dict]:
    """What leaves the proxy."""
    sent = []

    async def send(message):
        sent.append(message)

    (middleware,) = middlewares()
    asyncio.run(middleware.cls(app)({"type": kind}, None, send))
    return sent


async def says_nothing(scope, receive, send):
    """As Serve's proxy, where a replica died before it answered."""


async def breaks_off(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})


def test_a_request_without_an_answer_gets_a_503_that_says_when_to_ask_again():
    head, body = sent_by(says_nothing)
    assert head["status"] == 503 and (b"retry-after", b"2") in head["headers"]
    assert body["body"] == b"the replica was lost; ask again"


@pytest.mark.parametrize(
    "answer",
    [
        JSONResponse({"status": 500}, 500, media_type="application/problem+json"),
        PlainTextResponse("png", 200),
        PlainTextResponse("full", 429),
    ],
)
def test_an_answer_is_passed_on(answer):
    head, body = sent_by(answer)
    assert head["status"] == answer.status_code and body["body"] == answer.body


def test_an_answer_that_had_begun_is_not_begun_again():
    assert sent_by(breaks_off) == [{"type": "http.response.start", "status": 200, "headers": []}]


def test_what_is_not_a_request_gets_no_answer():
    assert sent_by(says_nothing, "lifespan") == []
