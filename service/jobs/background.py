"""Work beside that of requests: steps that are taken as long as the service lives, and calls in threads."""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import NoReturn, ParamSpec, TypeVar

import structlog

log = structlog.get_logger(__name__)

P = ParamSpec("P")
R = TypeVar("R")


async def lasting(step: Callable[[], Awaitable[object]], pause: float) -> NoReturn:
    """Take that step again and again, until cancelled. If one fails, the log has it, and the next follows `pause`
    seconds later."""
    while True:
        try:
            await step()
        except Exception as error:
            log.error("work in the background failed", step=step.__qualname__, exc_info=error)
            await asyncio.sleep(pause)


async def called(threads: Executor, function: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
    """What the function returns, in one of those threads."""
    return await asyncio.get_running_loop().run_in_executor(threads, functools.partial(function, *arguments, **named))
