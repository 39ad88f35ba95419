"""/jobs: data sets of many rows, made in the background, as files."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from service.http.bodiless import head
from service.http.entity_tags import is_known
from service.http.key_ring import caller_of
from service.http.lifecycle import off_the_loop
from service.http.middleware import BODILESS
from service.http.problems import UNKEPT, Problem, documented, invalid
from service.http.ranges import Unsatisfiable, part_of
from service.jobs.acceptance import accept, model_of
from service.jobs.job_answers import FilesAnswer, JobAnswer, JobsAnswer, files_answer, job_answer
from service.jobs.job_request import JobRequest
from service.jobs.store_records import FINISHED, JobRecord, NewJob
from service.jobs.webhooks import refusal
from service.responses.event_stream import HEADERS, MEDIA_TYPE, PING, PING_SECONDS
from service.state import AppState, State

router = APIRouter(prefix="/jobs", tags=["jobs"])

LOOK_EVERY = 0.5  # seconds, for news of a job
_EVENTS = {
    "type": "object",
    "description": "Each event has the job in `data`, as GET /jobs/{id} has it: `progress` while it goes on, then one "
    "that is called like the state in which it ended. Whoever comes again with the last event's id is answered 204.",
    "properties": {
        "id": {"type": "string"},
        "event": {"enum": ["progress", *FINISHED]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
}
_STORE = documented(401, 503)
_JOB = documented(401, 404, 410, 503)


@router.post(
    "",
    status_code=202,
    response_model=JobAnswer,
    responses={
        202: {"headers": {"Location": {"description": "The job.", "schema": {"type": "string"}}}},
        **documented(401, 404, 408, 413, 415, 422, 429, 503),
    },
)
async def submit(
    body: JobRequest,
    request: Request,
    state: AppState,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=255,
            description="Your own name for this request: with the same key and body you get the same job.",
        ),
    ] = None,
) -> Response:
    """Make a data set of up to ten million rows. The answer comes at once; the rows are made below all requests."""
    owner, asked = caller_of(request).owner, json.dumps(body.model_dump(exclude_unset=True), sort_keys=True)
    body_hash = hashlib.sha256(asked.encode()).hexdigest()
    if idempotency_key is not None:
        known = await (await state.jobs.live()).known(owner, idempotency_key, body_hash)
        if known is not None:
            return await _accepted(state, known)
    options = state.jobs.options
    if body.webhook is not None and (why := refusal(body.webhook, options.webhook_hosts)) is not None:
        raise invalid("webhook", why, body.webhook)
    catalog = state.catalog
    with await state.memory.hold(await state.decoding.run(model_of, catalog, body)):
        snapshot = state.engine.snapshot()
        specification = await state.decoding.run(accept, catalog, options.checkpoints, snapshot, body)
    live = await state.jobs.live()
    record = await live.submit(
        NewJob(
            owner=owner,
            idempotency_key=idempotency_key,
            body_hash=body_hash,
            specification=specification.model_dump_json(),
            rows=specification.rows,
            rows_per_file=specification.rows_per_file,
            webhook=body.webhook,
            input_file=None,
        )
    )
    return await _accepted(state, record)


@router.get("", response_model=JobsAnswer, responses=_STORE | documented(422))
async def listed(
    request: Request,
    state: AppState,
    limit: Annotated[int, Query(ge=1, le=100, description="Most jobs in the answer.")] = 20,
    before: Annotated[
        str | None, Query(pattern="^job-[0-9a-f]{24}$", description="Only jobs that are older than this one.")
    ] = None,
) -> Response:
    """Your jobs, the newest first."""
    live = await state.jobs.live()
    records = await live.listed(caller_of(request).owner, limit, before)
    body = await off_the_loop(state, _all_as_json, records, state.jobs.options.keep_seconds)
    return Response(body, media_type="application/json", headers=UNKEPT)


@router.get("/{job}", response_model=JobAnswer, responses=_JOB)
async def one(job: str, request: Request, state: AppState) -> Response:
    """How far a job is."""
    record = await _record(job, caller_of(request).owner, state)
    return Response(await _json(state, record), media_type="application/json", headers=UNKEPT)


@router.delete("/{job}", status_code=204, responses=_JOB)
async def delete(job: str, request: Request, state: AppState) -> Response:
    """End a job, where it is not finished, and delete its files."""
    live = await state.jobs.live()
    await live.cancel(job, caller_of(request).owner)
    return Response(status_code=204)


@router.get(
    "/{job}/events",
    response_class=Response,
    responses={
        200: {"description": "Server-sent events.", "content": {MEDIA_TYPE: {"schema": _EVENTS}}},
        204: {"description": "To whoever comes again after the last event."},
        **_JOB,
    },
)
async def events(job: str, request: Request, state: AppState) -> Response:
    """The job each time it has changed."""
    record = await _record(job, caller_of(request).owner, state)
    seen = request.headers.get("last-event-id")
    if seen == str(record.revision) and record.state in FINISHED:
        return Response(status_code=204, headers=UNKEPT)
    if request.scope.get(BODILESS):
        return head(MEDIA_TYPE, HEADERS)
    return StreamingResponse(_changes(record, seen, state), media_type=MEDIA_TYPE, headers=HEADERS)


@router.get("/{job}/files", response_model=FilesAnswer, responses=_JOB)
async def files(job: str, request: Request, state: AppState, response: Response) -> FilesAnswer:
    """The files that are ready, in the rows' order."""
    response.headers.update(UNKEPT)
    live = await state.jobs.live()
    return files_answer(await live.files(job, caller_of(request).owner))


@router.get(
    "/{job}/files/{name}",
    response_class=Response,
    responses={
        200: {"description": "The file.", "content": {"application/octet-stream": {"schema": {"type": "string"}}}},
        206: {"description": "The part of it that Range asks for."},
        304: {"description": "You have it: If-None-Match names it."},
        **_JOB,
        **documented(416),
    },
)
async def download(job: str, name: str, request: Request, state: AppState) -> Response:
    """A file, or one range of it. ETag is its SHA-256."""
    live = await state.jobs.live()
    file = await live.file(job, caller_of(request).owner, name)
    tag = f'"{file.sha256}"'
    headers = {"ETag": tag, "Accept-Ranges": "bytes", "Cache-Control": "private, no-cache"}
    if is_known(request.headers.getlist("if-none-match"), tag):
        return Response(status_code=304, headers=headers)
    same = request.headers.get("if-range") in (None, tag)
    try:
        part = part_of(request.headers.get("range"), file.bytes) if same else None
    except Unsatisfiable:
        whole = {"Content-Range": f"bytes */{file.bytes}"}
        raise Problem(416, f"{name} has {file.bytes:,} bytes", headers=whole) from None
    start, stop = part or (0, file.bytes)
    headers["Content-Length"] = str(stop - start)
    if part is not None:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{file.bytes}"
    headers["Content-Disposition"] = f'attachment; filename="{job}-{name}"'
    status = 200 if part is None else 206
    if request.scope.get(BODILESS):
        return Response(status_code=status, headers=headers, media_type="application/octet-stream")
    pieces = await live.read(job, file, start, stop)
    return StreamingResponse(pieces, status_code=status, headers=headers, media_type="application/octet-stream")


async def _record(job: str, owner: str, state: State) -> JobRecord:
    live = await state.jobs.live()
    return await live.get(job, owner)


async def _accepted(state: State, record: JobRecord) -> Response:
    # Relative, so that it holds behind a proxy that serves this under a path of its own.
    headers = UNKEPT | {"Location": f"jobs/{record.id}"}
    return Response(await _json(state, record), 202, media_type="application/json", headers=headers)


async def _json(state: State, record: JobRecord) -> str:
    return await off_the_loop(state, _as_json, record, state.jobs.options.keep_seconds)


def _as_json(record: JobRecord, keep_seconds: float) -> str:
    return job_answer(record, keep_seconds).model_dump_json()


def _all_as_json(records: list[JobRecord], keep_seconds: float) -> str:
    return JobsAnswer(jobs=[job_answer(record, keep_seconds, in_list=True) for record in records]).model_dump_json()


async def _changes(record: JobRecord, seen: str | None, state: State) -> AsyncIterator[bytes]:
    """An event at once, where the client has not seen this state, and one for each change, until the job ends. It ends
    before that where the service does: browsers come again by themselves, with the last id."""
    told, silent = seen, 0.0
    while True:
        if str(record.revision) != told:
            yield await _event(record, state)
            told, silent = str(record.revision), 0.0
        if record.state in FINISHED or state.engine.snapshot().draining:
            return
        await asyncio.sleep(LOOK_EVERY)
        silent += LOOK_EVERY
        if silent >= PING_SECONDS:
            yield PING
            silent = 0.0
        try:
            record = await _record(record.id, record.owner, state)
        except Problem:  # it has expired, or the store is gone for now: whoever comes again is told
            return


async def _event(record: JobRecord, state: State) -> bytes:
    name = record.state if record.state in FINISHED else "progress"
    return f"id: {record.revision}\nevent: {name}\ndata: {await _json(state, record)}\n\n".encode()
