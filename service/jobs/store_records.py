"""What is in a store, in Python. Who reads records need not import SQLAlchemy, which takes a second."""

from dataclasses import dataclass
from typing import Literal

State = Literal["queued", "running", "done", "failed", "cancelled"]
UNFINISHED: tuple[State, ...] = ("queued", "running")
FINISHED: tuple[State, ...] = ("done", "failed", "cancelled")
CONTENT = "content"
"""What an upload's one file is called among the results."""


@dataclass(frozen=True)
class NewJob:
    """What is known of a job when it is accepted.

    owner            whose it is: only they see it
    idempotency_key  the client's own name for it; None without one
    body_hash        of the request's body, as it was sent
    specification    JSON with every default filled in
    rows_per_file    that a chunk makes; the last makes the rest
    webhook          the address that its end is told to; None tells nobody
    input_file       the upload whose lines a batch answers; None for a data set
    """

    owner: str
    idempotency_key: str | None
    body_hash: str
    specification: str
    rows: int
    rows_per_file: int
    webhook: str | None
    input_file: str | None


@dataclass(frozen=True)
class JobRecord(NewJob):
    """A job as it is stored. Times are seconds since 1970, by the store's clock.

    error        why it failed
    paused       why it does not go on at present
    revision     counts its changes
    rows_done    of the chunks that are published; rows_kept of them passed the filters
    seconds      that work on it took, up to its last chunk or pause
    fence        counts the claims: only the last one may publish
    deaths       of processes that had claimed it, since its last chunk
    progressed   when it was claimed, or its last chunk was published
    finished     when it was done, failed or cancelled
    expired      when its files were deleted
    webhook_due  when its end is told next; None where nobody waits for it
    working_since  from when on `seconds` has not counted yet; None while it is paused
    """

    id: str
    state: State
    error: str | None
    paused: str | None
    revision: int
    rows_done: int
    rows_kept: int
    bytes: int
    seconds: float
    lease_owner: str | None
    lease_until: float | None
    fence: int
    deaths: int
    created: float
    progressed: float
    finished: float | None
    expired: float | None
    webhook_due: float | None
    webhook_tries: int
    working_since: float | None


@dataclass(frozen=True)
class StoredFile:
    """A file of a job.

    name    that clients know it by
    first   the number of the chunk's first row
    stored  its name among the results, which has the fence in it
    """

    name: str
    first: int
    stored: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Upload:
    """A file that a client sent.

    lines    those that are not empty
    created  seconds since 1970, by the store's clock
    expired  when its content was deleted
    """

    id: str
    owner: str
    name: str
    purpose: str
    lines: int
    bytes: int
    created: float
    expired: float | None
