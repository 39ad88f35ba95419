"""What browsers are told of every answer, so that what comes from here can do no more than it must."""

from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.problems import Problem

# Scripts, styles and requests of our own only, nothing inline, in nobody's frame; pictures also from memory.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def framed_by(origins: Collection[str]) -> str:
    """The policy of a page that these origins, and this service itself, may show in a frame."""
    allowed = " ".join(("'self'", *origins)) if origins else "'none'"
    return CONTENT_SECURITY_POLICY.replace("frame-ancestors 'none'", f"frame-ancestors {allowed}")


HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
SAID_IN_HEADERS = (
    "X-Request-ID", "X-Seed", "X-Model", "X-Unknown-Words", "X-Ignored-Fields", "Server-Timing", "Retry-After",
    "X-Should-Retry", "X-Resized", "X-Drawn-Labels", "Location", "ETag", "Content-Range", "Accept-Ranges",
    "Content-Disposition",
)  # fmt: skip


class SecurityHeaders:
    """HEADERS on every answer, but for what an answer says itself."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, with_headers)


class Cors(CORSMiddleware):
    """CORS: pages of `origins` may ask, and read the answers; with a key, without cookies, of which there are none.

    They may send any header: client libraries have their own, such as X-Stainless-OS, and none means anything here that
    the origin does not already grant. A public page may ask a service in a private network.
    """

    def __init__(self, app: ASGIApp, origins: Collection[str]):
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=("GET", "HEAD", "POST", "DELETE"),
            allow_headers=("*",),
            allow_private_network=True,
            expose_headers=SAID_IN_HEADERS,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """200, or a problem that says what is not allowed."""
        answer = super().preflight_response(request_headers)
        if answer.status_code == 200:
            return answer
        told = bytes(answer.body).decode()
        headers = {name: value for name, value in answer.headers.items() if not name.startswith("content-")}
        return Problem(
            400, f"{told}; see --cors-origins. GET, HEAD, POST and DELETE are allowed", headers=headers
        ).response()
