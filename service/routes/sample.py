"""POST and GET /sample."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from service import negotiation, streaming
from service.answers import encoders
from service.engine.job import DeadlinePassed, EngineError, EngineFull, EngineStopped, Samples
from service.problems import Problem, documented, invalid
from service.schemas import ImagesAnswer, PointsAnswer, SampleQuery, SampleRequest
from service.state import AppState, State
from service.streaming import EventStream, Stream

CLIENT_GONE = 499  # as nginx has it: nobody reads this answer, but the log shows it


class _Route(APIRoute):
    """Counts the requests that never reach their endpoint, and ends those whose client went away in silence."""

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
                request.app.state.spirale.metrics.requests.labels(dataset="unknown", outcome="invalid").inc()
                raise

        return handle_all


router = APIRouter(tags=["sample"], route_class=_Route)

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The samples, in the representation that Accept asks for. Images are PNG by default "
        "(a contact sheet for more than one), points JSON.",
        "model": ImagesAnswer | PointsAnswer,
        "content": {
            "image/png": _BINARY,
            "application/zip": _BINARY,
            "application/x-npy": _BINARY,
            "text/csv": {"schema": {"type": "string"}},
            streaming.MEDIA_TYPE: {"schema": {"type": "string"}},
        },
    },
    **documented(401, 404, 406, 413, 415, 422, 429, 500, 503, 504),
}

_OUTCOMES = {EngineFull: "full", DeadlinePassed: "deadline", EngineStopped: "stopped"}


@router.post("/sample", response_class=Response, responses=_RESPONSES)
async def post_sample(body: SampleRequest, request: Request, state: AppState) -> Response:
    """Draw samples. The same fields and seed give the same bytes."""
    return await _answer(body, request, state)


@router.get("/sample", response_class=Response, responses=_RESPONSES)
async def get_sample(query: Annotated[SampleQuery, Query()], request: Request, state: AppState) -> Response:
    """The same as POST /sample: for links and `<img>`."""
    return await _answer(query.as_request(), request, state)


async def _answer(wanted: SampleRequest, request: Request, state: State) -> Response:
    """Resolve, sample, encode; counted by how it came out, a stream when it has ended."""
    with contextlib.ExitStack() as until_answered:
        until_answered.enter_context(_counted(wanted, state))
        resolved = state.catalog.resolve(wanted)
        offered = encoders(resolved.checkpoint.config.data.kind)
        accept = ", ".join(request.headers.getlist("accept"))
        media_type = negotiation.choose(accept, [*offered, streaming.MEDIA_TYPE])
        if media_type is None:
            raise Problem(
                406,
                f"{wanted.dataset} comes as {', '.join(offered)} or {streaming.MEDIA_TYPE}, not as {accept[:200]}",
                headers={"Vary": "Accept"},
            )
        headers = {"Vary": "Accept", "X-Seed": str(resolved.seed), "X-Model": resolved.checkpoint.config.name}
        if media_type == streaming.MEDIA_TYPE:
            previews = streaming.DEFAULT_PREVIEWS if wanted.previews is None else wanted.previews
            stream = Stream(state.engine, resolved, previews, wanted.zoom or 1, state.encoding)
            return EventStream(stream, until_answered.pop_all(), headers)
        if wanted.previews is not None:
            raise invalid("previews", f"applies with Accept: {streaming.MEDIA_TYPE} only", wanted.previews)

        samples = await _while_connected(request, state.engine.sample(resolved.job))

        started = time.perf_counter()
        encode = offered[media_type]
        body = await asyncio.get_running_loop().run_in_executor(
            state.encoding, encode, resolved, samples.data, wanted.zoom or 1
        )
        encode_seconds = time.perf_counter() - started
        state.metrics.encode_seconds.observe(encode_seconds)
        timing = {"queue": samples.queue_seconds, "sample": samples.sampling_seconds, "encode": encode_seconds}
        headers["Server-Timing"] = ", ".join(f"{name};dur={seconds * 1000:.1f}" for name, seconds in timing.items())
        return Response(body, media_type=media_type, headers=headers)


@contextlib.contextmanager
def _counted(wanted: SampleRequest, state: State) -> Iterator[None]:
    """Count how a request came out, and how long it took."""
    started = time.perf_counter()
    dataset = wanted.dataset if wanted.dataset in state.catalog.datasets else "unknown"
    outcome = "failed"
    try:
        yield
        outcome = "ok"
    except Problem:
        outcome = "invalid"
        raise
    except EngineError as error:
        outcome = _OUTCOMES.get(type(error), "failed")
        raise
    except (asyncio.CancelledError, ClientDisconnect, GeneratorExit):
        outcome = "cancelled"
        raise
    finally:
        state.metrics.requests.labels(dataset=dataset, outcome=outcome).inc()
        state.metrics.request_seconds.labels(dataset=dataset).observe(time.perf_counter() - started)


async def _while_connected(request: Request, work: Coroutine[Any, Any, Samples]) -> Samples:
    """The work's result; a client that goes away cancels it, so that nothing is computed for nobody.

    Raises ClientDisconnect.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        gone.cancel()
        task.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
