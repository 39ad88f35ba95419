"""What stands before every route: target, id, log, key, method, last resort, body limit, content type. Plain ASGI, no
buffering."""

import asyncio
import re
import secrets
import time
from contextlib import nullcontext

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.bodies import Bodies
from service.http.key_ring import CALLER, KeyRing
from service.http.problems import Problem, unexpected
from service.metrics import Metrics

log = structlog.get_logger("service.access")

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# The page has a field for the key; the contract tells of no model, and no link can carry a key.
OPEN_PATHS = re.compile(r"/healthz|/readyz|/|/playground/.*|/docs(/.*)?|/openapi\.json")
POLLED = ("/healthz", "/readyz", "/metrics")
JSON_TYPES = re.compile(r"application/([a-z0-9.+-]*\+)?json")
ABSOLUTE = re.compile(r"https?://[^/?]*", re.IGNORECASE)
ABSOLUTE_BYTES = re.compile(ABSOLUTE.pattern.encode(), re.IGNORECASE)
BODILESS = "spirale.bodiless"
"""In the scope of a GET that was a HEAD."""
FORM_TYPE = "application/x-www-form-urlencoded"
MULTIPART_TYPE = "multipart/form-data"
MULTIPART_PATHS = ("/v1/images/edits", "/v1/images/variations", "/v1/files")
UPLOAD_LIMIT = 32 * 2**20
UPLOAD_PATH = "/v1/files"
"""Where bodies may be that large: a form keeps files of more than a MB on the disk."""


class RequestContext:
    """An X-Request-ID for every request (the client's own where it is sane), and one line in the log; of whoever polls
    only what is not as it should be."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        structlog.contextvars.bind_contextvars(request_id=request_id)
        started, status, later = time.perf_counter(), 0, False

        async def with_id(message: Message) -> None:
            nonlocal status, later
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                status, later = message["status"], "retry-after" in headers
            await send(message)

        try:
            await self.app(scope, receive, with_id)
        finally:
            milliseconds = round((time.perf_counter() - started) * 1000, 1)
            # /readyz says when to try again while models are loading, and not where anything is wrong.
            quiet = scope["path"] in POLLED and (0 < status < 400 or later)
            tell = log.debug if quiet else log.info
            tell("request", method=scope["method"], path=scope["path"], status=status, ms=milliseconds)
            structlog.contextvars.unbind_contextvars("request_id")


class RequestTarget:
    """An absolute target, such as a client sends that takes this for its proxy, is the path in it (RFC 9112 3.2.2)."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (absolute := ABSOLUTE.match(scope["path"])):
            scope["path"] = scope["path"][absolute.end() :] or "/"
            if raw := ABSOLUTE_BYTES.match(scope.get("raw_path") or b""):
                scope["raw_path"] = scope["raw_path"][raw.end() :] or b"/"
        await self.app(scope, receive, send)


class HeadAsGet:
    """HEAD is GET without the body, which the server leaves out (RFC 9110 9.3.2). Whoever computes one can see in the
    scope that nobody reads it."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET", BODILESS: True}
        await self.app(scope, receive, send)


class InternalError:
    """What nobody expected ends here: 500, and the trace in the log only. What stands before this says of such an
    answer what it says of any."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception as error:
            log.error("request failed", method=scope["method"], path=scope["path"], exc_info=error)
            if begun:
                raise  # all that is left is to break it off
            await unexpected().response()(scope, receive, send)


class KeyUse:
    """Finds whose key a request came with, which then stands in the scope, and counts the answers by name. It stands
    before whatever makes other answers of those that ApiKey lets through."""

    def __init__(self, app: ASGIApp, keys: KeyRing, metrics: Metrics):
        self.app = app
        self._keys, self._metrics = keys, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        bearer = None if scope["type"] != "http" or OPEN_PATHS.fullmatch(scope["path"]) else _bearer(scope)
        caller = None if bearer is None else self._keys.find(bearer)
        if caller is None:
            return await self.app(scope, receive, send)

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.key_requests.labels(caller.key.name, message["status"]).inc()
            await send(message)

        await self.app({**scope, CALLER: caller}, receive, counted)


class ApiKey:
    """401 without `Authorization: Bearer <key>` of a key that KeyUse has found, but for the health routes, the page,
    and the contract it links to."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or CALLER in scope or OPEN_PATHS.fullmatch(scope["path"]):
            return await self.app(scope, receive, send)
        detail, error = "an API key is needed: send `Authorization: Bearer <key>`", ""
        if _bearer(scope) is not None:
            detail, error = (
                "this API key is not known here: it is mistyped, or was withdrawn",
                ', error="invalid_token"',
            )
        headers = {"WWW-Authenticate": f'Bearer realm="spirale"{error}'}
        await Problem(401, detail, headers=headers).response()(scope, receive, send)


def _bearer(scope: Scope) -> bytes | None:
    """The key that a request names."""
    scheme, _, given = Headers(scope=scope).get("authorization", "").partition(" ")
    return given.strip(" ").encode("latin-1") if scheme.lower() == "bearer" else None  # RFC 9110 11.4: 1*SP


class BodyLimit:
    """413 as soon as a body shows to be too large, by its Content-Length or while it is read; 408 for one that does not
    come within `seconds`."""

    def __init__(self, app: ASGIApp, bodies: Bodies, limit: int, seconds: float):
        self.app = app
        self.bodies, self.limit, self.seconds = bodies, limit, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        limit = max(self.limit, UPLOAD_LIMIT) if scope["path"] == UPLOAD_PATH else self.limit
        problem = Problem(413, f"the body is larger than {limit:,} bytes")
        length = Headers(scope=scope).get("content-length", "")
        if length.isdigit() and int(length) > limit:
            return await problem.response()(scope, receive, send)
        read = 0
        # Only of a POST is the body waited for; of others what is received is that the client has left.
        due = asyncio.get_running_loop().time() + self.seconds if scope["method"] == "POST" else None

        async def counted() -> Message:
            nonlocal read, due
            async with nullcontext() if due is None else self.bodies.awaited(due, self.seconds):
                message = await receive()
            if message["type"] == "http.request":
                read += len(message.get("body", b""))
                if read > limit:
                    raise problem
                if not message.get("more_body", False):
                    due = None
            return message

        await self.app(scope, counted, send)


class JsonBody:
    """415 for a POST of something that is not JSON, or no form where a route takes files, or is compressed.

    `curl -d` calls its body a form. Such a body is read as JSON when the request has no Origin: no browser sends one
    without, so a page elsewhere cannot use this to get around CORS. For the same reason a multipart body, which a few
    routes take, comes without an Origin, or with an API key, which no page sends without having asked.
    """

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            headers = MutableHeaders(scope=scope)
            coding = headers.get("content-encoding", "").strip().lower()
            if coding not in ("", "identity"):
                problem = Problem(
                    415, f"the body is in {coding[:40]}: send it uncompressed", headers={"Accept-Encoding": "identity"}
                )
                return await problem.response()(scope, receive, send)
            empty = headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers
            content_type = headers.get("content-type", "").split(";")[0].strip().lower()
            takes_files = scope["path"] in MULTIPART_PATHS
            if empty and not content_type:
                pass  # the route says what it needs
            elif takes_files and content_type != MULTIPART_TYPE:
                problem = Problem(
                    415,
                    f"the body is {content_type or 'of no type'}: send {MULTIPART_TYPE}, with a file in it",
                    headers={"Accept": MULTIPART_TYPE},
                )
                return await problem.response()(scope, receive, send)
            elif content_type == FORM_TYPE and "origin" not in headers:
                headers["content-type"] = "application/json"
            elif takes_files:
                if "origin" in headers and "authorization" not in headers:
                    problem = Problem(415, "from another page a multipart body needs an Authorization header")
                    return await problem.response()(scope, receive, send)
                parts = headers["content-type"].split(";")  # without the charset, which no form has (RFC 7578)
                headers["content-type"] = ";".join(p for p in parts if not p.strip().lower().startswith("charset"))
            elif not JSON_TYPES.fullmatch(content_type):
                problem = Problem(
                    415,
                    f"the body is {content_type or 'of no type'}, not JSON: send `Content-Type: application/json`",
                    headers={"Accept": "application/json"},
                )
                return await problem.response()(scope, receive, send)
        await self.app(scope, receive, send)
