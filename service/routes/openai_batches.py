"""OpenAI's files and batches: many requests for images at once, answered below all requests."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.datastructures import UploadFile

from service.http.key_ring import caller_of
from service.http.middleware import BODILESS
from service.http.problems import UNKEPT, invalid
from service.jobs.batch_answers import (
    BatchAnswer,
    BatchesAnswer,
    BatchRequest,
    FileAnswer,
    FileDeleted,
    FileListAnswer,
    Purpose,
    batch_answer,
)
from service.jobs.live_batches import BATCH_ID, LiveBatches
from service.jobs.store_records import JobRecord
from service.routes.openai import OpenAIRoute, documented_errors
from service.state import AppState, State

router = APIRouter(prefix="/v1", tags=["openai"], route_class=OpenAIRoute)

MAX_PARTS = 10  # of a form
MAX_NAME = 255  # characters of a file's name
IGNORED = ("expires_after[anchor]", "expires_after[seconds]")
READS, WRITES = documented_errors(401, 404, 503), documented_errors(400, 401, 404, 408, 413, 415, 429, 503)
_FORM = {
    "type": "object",
    "required": ["file", "purpose"],
    "properties": {
        "file": {
            "type": "string",
            "format": "binary",
            "description": "JSONL: a line a request, with `custom_id`, `method`, `url` and `body`.",
        },
        "purpose": {"enum": ["batch"]},
    },
}
_UPLOAD = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}}
_CONTENT: dict[str, Any] = {
    "description": "The file.",
    "content": {"application/octet-stream": {"schema": {"type": "string"}}},
}


@router.post("/files", response_model=FileAnswer, responses=WRITES, openapi_extra=_UPLOAD)
async def upload(request: Request, state: AppState) -> Response:
    """Send the requests of a batch."""
    async with request.form(max_files=1, max_fields=MAX_PARTS) as form:
        file, purpose = form.get("file"), form.get("purpose")
        if not isinstance(file, UploadFile):
            raise invalid("file", "a JSONL of requests, as a file")
        if purpose != "batch":
            raise invalid("purpose", "batch", purpose)
        name, content = (file.filename or "upload.jsonl")[:MAX_NAME], await file.read()
        ignored = [field for field in IGNORED if field in form]
    answer = await (await _live(request, state)).upload(name, content)
    headers = {"X-Ignored-Fields": ", ".join(ignored)} if ignored else {}
    return Response(answer.model_dump_json(), media_type="application/json", headers=headers)


@router.get("/files", response_model=FileListAnswer, responses=documented_errors(400, 401, 503))
async def files(
    request: Request,
    state: AppState,
    response: Response,
    purpose: Annotated[Purpose | None, Query(description="Only files of this purpose.")] = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
    order: Annotated[Literal["asc", "desc"], Query(description="By the time at which they came.")] = "desc",
    after: Annotated[str | None, Query(description="Only files behind this one, in that order.")] = None,
) -> FileListAnswer:
    """Your uploads, and the files of batches that have ended."""
    response.headers.update(UNKEPT)
    found = [one for one in await (await _live(request, state)).files() if purpose in (None, one.purpose)]
    if order == "asc":
        found.reverse()
    if after is not None:
        ids = [one.id for one in found]
        found = found[ids.index(after) + 1 :] if after in ids else []
    page = found[:limit]
    return FileListAnswer(
        data=page,
        first_id=page[0].id if page else None,
        last_id=page[-1].id if page else None,
        has_more=len(found) > limit,
    )


@router.get("/files/{id}", response_model=FileAnswer, responses=READS)
async def file(id: str, request: Request, state: AppState, response: Response) -> FileAnswer:
    response.headers.update(UNKEPT)
    return await (await _live(request, state)).file(id)


@router.get("/files/{id}/content", response_class=Response, responses={200: _CONTENT, **READS})
async def content(id: str, request: Request, state: AppState) -> Response:
    """What is in a file."""
    live = await _live(request, state)
    if request.scope.get(BODILESS):
        return Response(headers=_content_headers(await live.file(id)), media_type="application/octet-stream")
    answer, pieces = await live.content(id)
    return StreamingResponse(pieces, headers=_content_headers(answer), media_type="application/octet-stream")


@router.delete("/files/{id}", response_model=FileDeleted, responses=READS)
async def delete(id: str, request: Request, state: AppState) -> FileDeleted:
    """Delete a file. A batch that still reads it fails."""
    await (await _live(request, state)).delete_file(id)
    return FileDeleted(id=id)


@router.post("/batches", response_model=BatchAnswer, responses=WRITES)
async def begin(
    body: BatchRequest,
    request: Request,
    state: AppState,
    response: Response,
    idempotency_key: Annotated[
        str | None,
        Header(min_length=1, max_length=255, description="With the same key and body you get the same batch."),
    ] = None,
) -> BatchAnswer:
    """Answer all requests of a file, below those that come one by one."""
    if body.output_expires_after is not None:
        response.headers["X-Ignored-Fields"] = "output_expires_after"
    return batch_answer(await (await _live(request, state)).begin(body, idempotency_key))


@router.get("/batches", response_model=BatchesAnswer, responses=documented_errors(400, 401, 503))
async def batches(
    request: Request,
    state: AppState,
    response: Response,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[
        str | None, Query(pattern=f"^{BATCH_ID.pattern}$", description="Only batches that are older than this one.")
    ] = None,
) -> BatchesAnswer:
    """Your batches, the newest first."""
    response.headers.update(UNKEPT)
    found: list[JobRecord] = await (await _live(request, state)).batches(limit + 1, after)
    page = [batch_answer(record) for record in found[:limit]]
    return BatchesAnswer(
        data=page,
        first_id=page[0].id if page else None,
        last_id=page[-1].id if page else None,
        has_more=len(found) > limit,
    )


@router.get("/batches/{id}", response_model=BatchAnswer, responses=READS)
async def batch(id: str, request: Request, state: AppState, response: Response) -> BatchAnswer:
    """How far a batch is."""
    response.headers.update(UNKEPT)
    return batch_answer(await (await _live(request, state)).batch(id))


@router.post("/batches/{id}/cancel", response_model=BatchAnswer, responses=WRITES)
async def cancel(id: str, request: Request, state: AppState) -> BatchAnswer:
    """End a batch before the next tick. What it has answered so far can be downloaded."""
    return batch_answer(await (await _live(request, state)).cancel(id))


def _content_headers(answer: FileAnswer) -> dict[str, str]:
    return UNKEPT | {"Content-Length": str(answer.bytes)}


async def _live(request: Request, state: State) -> LiveBatches:
    return LiveBatches(await state.jobs.live(), state.jobs.options, caller_of(request).owner)
