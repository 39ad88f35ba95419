"""Every error under /v1 in OpenAI's form, whoever answers it: a route, the framework, or what stands before both."""

import json
import re
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.problems import MEDIA_TYPE

OPENAI_PATHS = re.compile(r"/v1(/.*)?", re.DOTALL)
CODES = {401: "invalid_api_key", 404: "unknown_url", 429: "rate_limit_exceeded"}
NOT_FOUND = {"model": "model_not_found"}  # by the field that names what there is not


class OpenAIErrors:
    """Translates problems under /v1. Validation is 400 there; what was wrong with which field is `param`."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not OPENAI_PATHS.fullmatch(scope["path"]):
            return await self.app(scope, receive, send)
        held: Message | None = None
        body = b""

        async def translated(message: Message) -> None:
            nonlocal held, body
            if message["type"] == "http.response.start" and _is_problem(message):
                held = message
            elif held is None:
                await send(message)
            else:
                body += message.get("body", b"")
                if not message.get("more_body", False):
                    for each in _translated(held, body):
                        await send(each)

        await self.app(scope, receive, translated)


def _is_problem(start: Message) -> bool:
    return Headers(raw=start["headers"]).get("content-type") == MEDIA_TYPE


def _translated(start: Message, body: bytes) -> tuple[Message, Message]:
    problem = json.loads(body)
    status = openai_status(start["status"])
    content = json.dumps(openai_error(status, problem)).encode()
    start = {**start, "status": status, "headers": list(start["headers"])}
    headers = MutableHeaders(scope=start)
    headers["Content-Type"], headers["Content-Length"] = "application/json", str(len(content))
    return start, {"type": "http.response.body", "body": content}


def openai_status(status: int) -> int:
    """A problem's status as OpenAI has it."""
    return 400 if status == 422 else status


def openai_error(status: int, problem: dict[str, Any]) -> dict[str, Any]:
    """The body of an error, from a problem's."""
    param = problem["errors"][0]["field"] if problem.get("errors") else None
    return {
        "error": {
            "message": problem["detail"],
            "type": "invalid_request_error" if status < 500 and status != 429 else "server_error",
            "param": param,
            "code": CODES.get(status) if param is None else NOT_FOUND.get(param) if status == 404 else None,
        }
    }
