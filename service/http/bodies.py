"""The bodies that are waited for: not without end, and not where the service ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.http.problems import Problem


class Bodies:
    """Belongs to the event loop."""

    def __init__(self) -> None:
        self._waits: set[asyncio.Timeout] = set()
        self._ended = False

    @asynccontextmanager
    async def awaited(self, due: float, seconds: float) -> AsyncIterator[None]:
        """Until `due` on the loop's clock, which is `seconds` after it began. Raises Problem: 408 then, and 503 where
        the service ends before."""
        wait = asyncio.timeout_at(0.0 if self._ended else due)
        try:
            async with wait:
                self._waits.add(wait)
                yield
        except TimeoutError:
            if self._ended:
                raise Problem(503, "the service ends: send it to another one", headers={"Retry-After": "5"}) from None
            raise Problem(408, f"the body did not come within {seconds:g} s") from None
        finally:
            self._waits.discard(wait)

    def break_off(self) -> None:
        """Nobody is waited for any more."""
        self._ended = True
        for wait in self._waits:
            if not wait.expired():  # that it is due may be on its way already
                wait.reschedule(0.0)
