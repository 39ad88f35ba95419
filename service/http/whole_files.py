"""Files that are small and come whole, whatever part a Range asks for (RFC 9110 section 14.2 leaves that open)."""

from fastapi.responses import FileResponse
from starlette.types import Receive, Scope, Send

NO_RANGES = {"Accept-Ranges": "none"}


def without_range(scope: Scope) -> Scope:
    """The same request, for all of it."""
    return {**scope, "headers": [(name, value) for name, value in scope["headers"] if name != b"range"]}


class WholeFile(FileResponse):
    """All of a file."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.headers.update(NO_RANGES)
        await super().__call__(without_range(scope), receive, send)
