"""POST and GET /sample."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from service import negotiation
from service.answers import encoders
from service.engine.job import DeadlinePassed, EngineFull, EngineStopped, JobFailed, Samples
from service.problems import Problem, documented
from service.schemas import ImagesAnswer, PointsAnswer, SampleQuery, SampleRequest
from service.state import AppState, State

router = APIRouter(tags=["sample"])

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
        },
    },
    **documented(401, 404, 406, 413, 415, 422, 429, 500, 503, 504),
}


@router.post("/sample", response_class=Response, responses=_RESPONSES)
async def post_sample(body: SampleRequest, request: Request, state: AppState) -> Response:
    """Draw samples. The same fields and seed give the same bytes."""
    return await _counted(body, request, state)


@router.get("/sample", response_class=Response, responses=_RESPONSES)
async def get_sample(query: Annotated[SampleQuery, Query()], request: Request, state: AppState) -> Response:
    """The same as POST /sample: for links and `<img>`."""
    return await _counted(query.as_request(), request, state)


async def _counted(wanted: SampleRequest, request: Request, state: State) -> Response:
    """Answer, and count how it came out."""
    started = time.perf_counter()
    dataset = wanted.dataset if wanted.dataset in state.catalog.datasets else "unknown"
    outcome = "failed"
    try:
        response = await _answer(wanted, request, state)
        outcome = "ok"
        return response
    except Problem as problem:
        outcome = {429: "full", 500: "failed", 503: "stopped", 504: "deadline"}.get(problem.status, "invalid")
        raise
    except asyncio.CancelledError:
        outcome = "cancelled"
        raise
    finally:
        state.metrics.requests.labels(dataset=dataset, outcome=outcome).inc()
        state.metrics.request_seconds.labels(dataset=dataset).observe(time.perf_counter() - started)


async def _answer(wanted: SampleRequest, request: Request, state: State) -> Response:
    resolved = state.catalog.resolve(wanted)
    offered = encoders(resolved.checkpoint.config.data.kind)
    accept = request.headers.get("accept")
    media_type = negotiation.choose(accept, list(offered))
    if media_type is None:
        raise Problem(406, f"{wanted.dataset} comes as {', '.join(offered)}, not as {accept}")

    samples = await _while_connected(request, _sampled(state, resolved.job))

    started = time.perf_counter()
    encode = offered[media_type]
    body = await asyncio.get_running_loop().run_in_executor(
        state.encoding, encode, resolved, samples.data, wanted.zoom or 1
    )
    encode_seconds = time.perf_counter() - started
    state.metrics.encode_seconds.observe(encode_seconds)
    timing = {"queue": samples.queue_seconds, "sample": samples.sampling_seconds, "encode": encode_seconds}
    return Response(
        body,
        media_type=media_type,
        headers={
            "Vary": "Accept",
            "X-Seed": str(resolved.seed),
            "X-Model": resolved.checkpoint.config.name,
            "Server-Timing": ", ".join(f"{name};dur={seconds * 1000:.1f}" for name, seconds in timing.items()),
        },
    )


async def _sampled(state: State, job: Any) -> Samples:
    """The engine's answer, its errors as problems."""
    try:
        return await state.engine.sample(job)
    except EngineFull as full:
        raise Problem(
            429,
            f"the queue is full ({full.queued_seconds:.0f} s of work); try again in {full.retry_after} s",
            headers={"Retry-After": str(full.retry_after)},
        ) from full
    except DeadlinePassed as late:
        raise Problem(504, f"{late}; ask for fewer samples or steps, or try again later") from late
    except JobFailed as failure:
        raise Problem(500, f"this request failed while sampling ({failure}); others are not touched") from failure
    except EngineStopped as stopped:
        raise Problem(503, f"{stopped}; see /readyz", headers={"Retry-After": "5"}) from stopped


async def _while_connected(request: Request, work: Coroutine[Any, Any, Samples]) -> Samples:
    """The work's result; a client that goes away cancels it, so that nothing is computed for nobody."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise asyncio.CancelledError("the client went away")
        return task.result()
    finally:
        gone.cancel()
        task.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
