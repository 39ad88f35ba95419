"""Batches and files as OpenAI's API has them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from service.jobs.batch_lines import ENDPOINT, BatchErrors, LineError
from service.jobs.batch_specification import BatchSpecification
from service.jobs.store_records import JobRecord, Upload
from service.requests.leniency import refuse_too_many

MAX_METADATA = 16  # pairs
WINDOW = "24h"
Status = Literal["validating", "failed", "in_progress", "completed", "cancelled"]
STATUSES: dict[str, Status] = {
    "queued": "validating", "running": "in_progress", "done": "completed", "failed": "failed", "cancelled": "cancelled",
}  # fmt: skip
"""By the state of a job."""
Purpose = Literal["batch", "batch_output"]
Name = Annotated[str, Field(max_length=64)]
Text = Annotated[str, Field(max_length=512)]  # a text with a bound has no half surrogates, which JSON cannot be made of


class BatchRequest(BaseModel):
    """A batch to begin."""

    model_config = ConfigDict(extra="forbid", strict=True)

    input_file_id: str = Field(max_length=100, description="An upload with the purpose `batch`.")
    endpoint: Literal["/v1/images/generations"] = Field(description=f"{ENDPOINT} only.")
    completion_window: Literal["24h"] = Field(description="24h; a batch that takes longer goes on.")
    metadata: dict[Name, Text] | None = Field(None, max_length=MAX_METADATA, description="Your own; it is answered.")
    output_expires_after: dict[Name, Text | int] | None = Field(
        None, description="Changes nothing here: the operator says how long files are kept."
    )

    @model_validator(mode="before")
    @classmethod
    def _few(cls, fields: Any) -> Any:
        return refuse_too_many(fields)


class RequestCounts(BaseModel):
    total: int
    completed: int
    failed: int


class BatchAnswer(BaseModel):
    id: str
    object: Literal["batch"] = "batch"
    endpoint: str
    errors: BatchErrors | None = Field(None, description="Why it failed, line by line where lines are wrong.")
    input_file_id: str
    completion_window: str = WINDOW
    status: Status
    output_file_id: str | None = Field(None, description="Of the answers, once it has ended.")
    error_file_id: str | None = Field(None, description="Of the lines that failed.")
    created_at: int
    in_progress_at: int | None = None
    expires_at: int | None = None
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None
    request_counts: RequestCounts
    metadata: dict[str, str] | None = None


class BatchesAnswer(BaseModel):
    object: Literal["list"] = "list"
    data: list[BatchAnswer]
    first_id: str | None
    last_id: str | None
    has_more: bool


class FileAnswer(BaseModel):
    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    expires_at: int | None = None
    filename: str
    purpose: Purpose
    status: Literal["processed"] = "processed"


class FileListAnswer(BaseModel):
    object: Literal["list"] = "list"
    data: list[FileAnswer]
    first_id: str | None
    last_id: str | None
    has_more: bool


class FileDeleted(BaseModel):
    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True


def batch_answer(record: JobRecord) -> BatchAnswer:
    try:
        specification = BatchSpecification.model_validate_json(record.specification)
        endpoint, metadata = specification.endpoint, specification.metadata
    except ValidationError:  # another version of this service wrote it otherwise
        endpoint, metadata = ENDPOINT, None
    finished = None if record.finished is None else int(record.finished)
    failed = record.rows_done - record.rows_kept
    return BatchAnswer(
        id=record.id,
        endpoint=endpoint,
        errors=None if record.error is None else _errors(record.error),
        input_file_id=record.input_file or "",
        status=STATUSES[record.state],
        output_file_id=output_id(record.id, "output") if finished and record.rows_kept else None,
        error_file_id=output_id(record.id, "errors") if finished and failed else None,
        created_at=int(record.created),
        completed_at=finished if record.state == "done" else None,
        failed_at=finished if record.state == "failed" else None,
        cancelled_at=finished if record.state == "cancelled" else None,
        request_counts=RequestCounts(total=record.rows, completed=record.rows_kept, failed=failed),
        metadata=metadata,
    )


def upload_answer(upload: Upload, keep_seconds: float) -> FileAnswer:
    """`keep_seconds` after it came it is deleted."""
    return FileAnswer(
        id=upload.id,
        bytes=upload.bytes,
        created_at=int(upload.created),
        expires_at=int(upload.created + keep_seconds),
        filename=upload.name,
        purpose="batch",
    )


def output_answer(record: JobRecord, kind: str, size: int, keep_seconds: float) -> FileAnswer:
    """The answers of a batch that has ended, or its errors."""
    finished = record.finished or 0.0
    return FileAnswer(
        id=output_id(record.id, kind),
        bytes=size,
        created_at=int(finished),
        expires_at=int(finished + keep_seconds),
        filename=f"{record.id}_{kind}.jsonl",
        purpose="batch_output",
    )


def output_id(batch: str, kind: str) -> str:
    """`kind` is output or errors."""
    return f"file-{batch.removeprefix('batch_')}-{kind}"


def _errors(error: str) -> BatchErrors:
    """A job's error is of lines, or a text."""
    try:
        return BatchErrors.model_validate_json(error)
    except ValueError:
        return BatchErrors(data=[LineError(code="batch_failed", message=error)])
