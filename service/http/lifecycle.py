"""What every route that samples does around it: count how a request came out, and stop when nobody waits for it."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from service.engine.job import (
    DeadlinePassed,
    EngineError,
    EngineFull,
    EngineStopped,
    JobTooLong,
    ModelNotLoaded,
    RateExceeded,
)
from service.engine.served_model import Served
from service.http.problems import Problem
from service.spans import REQUEST_SPANS
from service.state import State

CLIENT_GONE = 499  # as nginx has it: nobody reads this answer, but the log shows it
TIMED = ("ok", "deadline", "failed")  # a refusal is quick: among these it would make an overload look fast
OUTCOMES = {
    EngineFull: "full",
    RateExceeded: "rate",
    JobTooLong: "invalid",
    DeadlinePassed: "deadline",
    EngineStopped: "stopped",
    ModelNotLoaded: "stopped",
}


class QuietRoute(APIRoute):
    """Ends the requests whose client went away in silence."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_all(request: Request) -> Response:
            try:
                return await handle(request)
            except ClientDisconnect:
                return Response(status_code=CLIENT_GONE)
            except (RequestValidationError, HTTPException) as error:
                if isinstance(error.__cause__, ClientDisconnect):  # while its body was read
                    return Response(status_code=CLIENT_GONE)
                raise

        return handle_all


class CountedRoute(QuietRoute):
    """Of samples: counts the requests that never reach their endpoint."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_all(request: Request) -> Response:
            try:
                return await handle(request)
            except (RequestValidationError, HTTPException):
                request.app.state.spirale.metrics.requests.labels(dataset="unknown", outcome="invalid").inc()
                raise

        return handle_all


@contextlib.contextmanager
def counted(dataset: str, state: State) -> Iterator[None]:
    """Count how a request came out, and how long it took if its samples were begun."""
    started = time.perf_counter()
    dataset = dataset if dataset in state.catalog.datasets else "unknown"
    outcome = "failed"
    try:
        yield
        outcome = "ok"
    except Problem:
        outcome = "invalid"
        raise
    except EngineError as error:
        outcome = OUTCOMES.get(type(error), "failed")
        raise
    except (asyncio.CancelledError, ClientDisconnect, GeneratorExit):
        outcome = "cancelled"
        raise
    finally:
        state.metrics.requests.labels(dataset=dataset, outcome=outcome).inc()
        if outcome in TIMED:
            seconds = time.perf_counter() - started
            timed = state.metrics.request_seconds.labels(dataset=dataset, outcome=outcome)
            timed.observe(seconds, REQUEST_SPANS.get().exemplar)


R = TypeVar("R")


async def in_memory(request: Request, served: Served, state: State) -> contextlib.AbstractContextManager[None]:
    """Keeps the model in memory until the context ends; waits for it to be loaded while the client does.

    Raises ClientDisconnect or ModelNotLoaded.
    """
    held = state.memory.held(served)
    return await while_connected(request, state.memory.hold(served)) if held is None else held


async def while_connected(request: Request, work: Coroutine[Any, Any, R]) -> R:
    """The work's result; a client that goes away cancels it, so that nothing is computed for nobody.

    Raises ClientDisconnect, or Problem (413).
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():  # also where both are: what it holds must not be lost
            return task.result()
        gone.result()  # raises what is wrong with a body that nobody asked for, such as that it is too large
        raise ClientDisconnect
    finally:
        gone.cancel()
        task.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def off_the_loop(state: State, function: Callable[..., R], *arguments: object) -> R:
    """In the pool that keeps answers off the event loop while they are made."""
    return await asyncio.get_running_loop().run_in_executor(state.encoding, function, *arguments)


async def encoded(state: State, encode: Callable[..., bytes], *arguments: object) -> tuple[bytes, float]:
    """(the body, the seconds that it took)"""
    started, spans = time.perf_counter(), REQUEST_SPANS.get()
    with spans.stage("encode"):
        body = await off_the_loop(state, encode, *arguments)
    seconds = time.perf_counter() - started
    state.metrics.encode_seconds.observe(seconds, spans.exemplar)
    return body, seconds
