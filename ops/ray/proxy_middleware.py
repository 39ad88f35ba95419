"""What Ray Serve's proxies answer for a replica that died, if they are started with the name of `middlewares`.

    RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH=ops.ray.proxy_middleware:middlewares

Where a replica or its node dies before it has answered, the proxy says nothing, and its HTTP server makes a plain 500
of that. Such a request may be asked again: a seed gives the same samples. (`POST /jobs` may then make a second job.)
So it gets a 503 that says so.
"""

from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

RETRY_SECONDS = 2


class LostReplica:
    """A request that nothing was answered to gets a 503 with Retry-After."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        await self.app(scope, receive, noted)
        if scope["type"] == "http" and not begun:
            lost = PlainTextResponse("the replica was lost; ask again", 503, {"Retry-After": str(RETRY_SECONDS)})
            await lost(scope, receive, send)


def middlewares() -> list[Middleware]:
    """Serve calls this as a proxy starts."""
    return [Middleware(LostReplica)]
