"""What Ray Serve's proxies do to an answer, if they are started with the name of `middlewares`.

    RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH=ops.ray.proxy_middleware:middlewares

Where a replica or its node dies, the proxy answers its requests with a plain 500. They may be asked again, for none
changes anything, so the answer becomes a 503 that says so. A 500 of the service is a problem in JSON, and stays.
"""

from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

RETRY_SECONDS = 2


class LostReplica:
    """A plain 500 becomes a 503 with Retry-After."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def retryable(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 500:
                headers = MutableHeaders(scope=message)
                if "json" not in headers.get("content-type", ""):
                    message["status"] = 503
                    headers["Retry-After"] = str(RETRY_SECONDS)
            await send(message)

        await self.app(scope, receive, retryable)


def middlewares() -> list[Middleware]:
    """Serve calls this as a proxy starts."""
    return [Middleware(LostReplica)]
