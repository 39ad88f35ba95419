"""Jobs as the routes answer them."""

import json
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError

from service.jobs.specification import Specification
from service.jobs.store_records import UNFINISHED, JobRecord, StoredFile


class JobAnswer(BaseModel):
    """A job, and how far it is."""

    id: str
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    error: str | None = Field(description="Why it failed, else null.")
    paused: str | None = Field(description="Why it does not go on at present, such as a full disk; else null.")
    rows: int
    rows_done: int = Field(description="Rows whose files can be downloaded.")
    rows_dropped: int = Field(description="Rows done that `accept` and `distinct` left out of the files.")
    rows_per_second: float | None = Field(description="Since it began, without the time of restarts.")
    seconds_left: float | None = Field(description="At that rate.")
    bytes: int = Field(description="Of its files so far.")
    created: str
    finished: str | None
    expires: str | None = Field(description="When its files are deleted; sooner where their place is needed.")
    request: dict[str, Any] = Field(
        description="The body of POST /jobs that makes the same files. A list of jobs leaves a `label` for each row "
        "out of it; GET /jobs/{id} has it."
    )


class JobsAnswer(BaseModel):
    jobs: list[JobAnswer]


class FileAnswer(BaseModel):
    name: str
    bytes: int
    sha256: str


class FilesAnswer(BaseModel):
    files: list[FileAnswer]


def job_answer(record: JobRecord, keep_seconds: float, *, in_list: bool = False) -> JobAnswer:
    """`keep_seconds` after a job has finished, its files are deleted. Not for the event loop: a request may have
    hundreds of thousands of labels. A list of jobs has none of those: it would have megabytes."""
    rate = record.rows_done / record.seconds if record.seconds > 0 and record.rows_done else None
    left = (record.rows - record.rows_done) / rate if rate is not None and record.state in UNFINISHED else None
    return JobAnswer(
        id=record.id,
        state=record.state,
        error=record.error,
        paused=record.paused,
        rows=record.rows,
        rows_done=record.rows_done,
        rows_dropped=record.rows_done - record.rows_kept,
        rows_per_second=None if rate is None else round(rate, 3),
        seconds_left=None if left is None else round(left, 1),
        bytes=record.bytes,
        created=_time(record.created),
        finished=None if record.finished is None else _time(record.finished),
        expires=None if record.finished is None else _time(record.finished + keep_seconds),
        request=_request(record.specification, in_list),
    )


def files_answer(files: list[StoredFile]) -> FilesAnswer:
    return FilesAnswer(files=[FileAnswer(name=file.name, bytes=file.bytes, sha256=file.sha256) for file in files])


def _request(stored: str, in_list: bool) -> dict[str, Any]:
    """As it is stored, where another version of this service wrote it otherwise."""
    try:
        specification = Specification.model_validate_json(stored)
    except ValidationError:
        unknown: dict[str, Any] = json.loads(stored)
        return unknown
    label = specification.asked_label
    if label is None and specification.labels.classes is not None and not in_list:
        label = [specification.names[number] for number in specification.labels.classes]
    return {
        **{name: value for name, value in specification.request.items() if value is not None},
        **({} if label is None else {"label": label}),
        "n": specification.rows,
        **({} if specification.accept is None else {"accept": {"judge": specification.accept.probability}}),
        **({} if specification.distinct is None else {"distinct": True}),
        "format": specification.format,
        "rows_per_file": specification.rows_per_file,
        "reproducible": specification.reproducible,
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
