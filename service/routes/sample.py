"""POST and GET /sample."""

import contextlib
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from service.http import negotiation, preparation
from service.http.bodiless import head
from service.http.key_ring import caller_of
from service.http.lifecycle import CountedRoute, counted, encoded, in_memory, while_connected
from service.http.middleware import BODILESS
from service.http.problems import Problem, documented, invalid
from service.http.repeated_fields import each_once
from service.requests.schemas import SampleQuery, SampleRequest
from service.responses import event_stream, representations
from service.responses.event_stream import EventStream, Stream
from service.responses.sample_answers import ImagesAnswer, PointsAnswer
from service.state import AppState, State

router = APIRouter(tags=["sample"], route_class=CountedRoute)

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The samples, in the representation that Accept asks for. Images are PNG by default "
        "(a contact sheet for more than one), points JSON.",
        "model": ImagesAnswer | PointsAnswer,
        "headers": representations.HEADERS,
        "content": {
            "image/png": _BINARY,
            "application/zip": _BINARY,
            "application/x-npy": _BINARY,
            "text/csv": {"schema": {"type": "string"}},
            event_stream.MEDIA_TYPE: {"schema": event_stream.SCHEMA},
        },
    },
    204: {"description": "To an EventSource that comes again after the end of its stream: there is nothing more."},
    **documented(401, 404, 406, 408, 413, 415, 422, 429, 500, 503, 504),
}


@router.post("/sample", response_class=Response, responses=_RESPONSES)
async def post_sample(body: SampleRequest, request: Request, state: AppState) -> Response:
    """Draw samples. The same fields and seed give the same bytes."""
    return await _answer(body, request, state)


@router.get("/sample", response_class=Response, responses=_RESPONSES, dependencies=[Depends(each_once(SampleQuery))])
async def get_sample(query: Annotated[SampleQuery, Query()], request: Request, state: AppState) -> Response:
    """The same as POST /sample: for links and `<img>`."""
    return await _answer(query.as_request(), request, state)


async def _answer(wanted: SampleRequest, request: Request, state: State) -> Response:
    """Resolve, sample, encode; counted by how it came out, a stream when it has ended."""
    bodiless = request.scope.get(BODILESS)
    accept = ", ".join(request.headers.getlist("accept"))
    offered, media_type = _chosen(accept, wanted.dataset, state)
    streamed = media_type == event_stream.MEDIA_TYPE
    has_all = streamed and request.headers.get("last-event-id") == event_stream.LAST_ID
    with contextlib.ExitStack() as until_answered:
        if not (bodiless or has_all):
            until_answered.enter_context(counted(wanted.dataset, state))
        resolved = await preparation.resolved(wanted, request, state)
        if media_type is None:
            raise Problem(
                406,
                f"{wanted.dataset} comes as {', '.join(offered)} or {event_stream.MEDIA_TYPE}, not as {accept[:200]}",
                headers={"Vary": "Accept"},
            )
        if wanted.axes is not None and media_type != "image/png":
            raise invalid("axes", "applies with Accept: image/png only", wanted.axes)
        if wanted.previews is not None and not streamed:
            raise invalid("previews", f"applies with Accept: {event_stream.MEDIA_TYPE} only", wanted.previews)
        if wanted.noisy_previews is not None and not streamed:
            raise invalid(
                "noisy_previews", f"applies with Accept: {event_stream.MEDIA_TYPE} only", wanted.noisy_previews
            )
        if has_all:
            return Response(status_code=204, headers={"Vary": "Accept"} | representations.headers(resolved))
        if not bodiless:
            until_answered.enter_context(await in_memory(request, resolved.choice.served, state))
        resolved = await preparation.made_ready(resolved, request, state)
        headers = {"Vary": "Accept"} | representations.headers(resolved)
        if bodiless:
            return head(media_type, headers)
        if streamed:
            previews = event_stream.DEFAULT_PREVIEWS if wanted.previews is None else wanted.previews
            noisy = bool(wanted.noisy_previews)
            key = caller_of(request).key
            stream = Stream(state.engine, resolved, previews, wanted.zoom or 1, state.encoding, noisy, key)
            return EventStream(stream, until_answered.pop_all(), headers)
        samples = await while_connected(request, state.engine.sample(resolved.job, caller_of(request).key))
        body, encode_seconds = await encoded(
            state, offered[media_type], resolved, resolved.exact(samples.data), wanted.zoom or 1
        )
        timing = {"queue": samples.queue_seconds, "sample": samples.sampling_seconds, "encode": encode_seconds}
        headers["Server-Timing"] = ", ".join(f"{name};dur={seconds * 1000:.1f}" for name, seconds in timing.items())
        return Response(body, media_type=media_type, headers=headers)


def _chosen(accept: str, dataset: str, state: State) -> tuple[Mapping[str, Callable[..., bytes]], str | None]:
    """(what encodes the representations of a dataset, the one that is wanted); none of a dataset that there is not."""
    models = state.catalog.datasets.get(dataset)
    if not models:
        return {}, None
    offered = representations.encoders(models[0].checkpoint.config.data.kind)
    return offered, negotiation.choose(accept, [*offered, event_stream.MEDIA_TYPE])
