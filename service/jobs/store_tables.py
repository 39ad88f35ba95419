"""The store's tables, as this version of the service uses them, and its records in Python.

`migrations/` makes them: a test compares the two.
"""

from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

State = Literal["queued", "running", "done", "failed", "cancelled"]
UNFINISHED: tuple[State, ...] = ("queued", "running")

metadata = sa.MetaData()

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("owner", sa.String(64), nullable=False),
    sa.Column("idempotency_key", sa.String(255)),
    sa.Column("body_hash", sa.String(64), nullable=False),
    sa.Column("specification", sa.Text, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("rows_per_file", sa.BigInteger, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("error", sa.Text),
    sa.Column("paused", sa.Text),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("rows_done", sa.BigInteger, nullable=False),
    sa.Column("rows_kept", sa.BigInteger, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("lease_owner", sa.String(40)),
    sa.Column("lease_until", sa.Float),
    sa.Column("fence", sa.BigInteger, nullable=False),
    sa.Column("deaths", sa.Integer, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("progressed", sa.Float, nullable=False),
    sa.Column("finished", sa.Float),
    sa.Column("expired", sa.Float),
    sa.Column("webhook", sa.Text),
    sa.Column("webhook_due", sa.Float),
    sa.Column("webhook_tries", sa.Integer, nullable=False, server_default="0"),
    sa.UniqueConstraint("owner", "idempotency_key", name="one_job_a_key"),
    sa.Index("jobs_by_state", "state", "created"),
    sa.Index("jobs_by_owner", "owner", "created"),
    sa.Index("jobs_by_webhook", "webhook_due"),
)
chunks = sa.Table(
    "chunks",
    metadata,
    sa.Column("job", sa.String(40), sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("first", sa.BigInteger, primary_key=True),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("fence", sa.BigInteger, nullable=False),
)
files = sa.Table(
    "files",
    metadata,
    sa.Column("job", sa.String(40), sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("name", sa.String(80), primary_key=True),
    sa.Column("first", sa.BigInteger, nullable=False),
    sa.Column("stored", sa.String(120), nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
)


@dataclass(frozen=True)
class NewJob:
    """What is known of a job when it is accepted.

    owner            whose it is: only they see it
    idempotency_key  the client's own name for it; None without one
    body_hash        of the request's body, as it was sent
    specification    JSON with every default filled in
    rows_per_file    that a chunk makes; the last makes the rest
    webhook          the address that its end is told to; None tells nobody
    """

    owner: str
    idempotency_key: str | None
    body_hash: str
    specification: str
    rows: int
    rows_per_file: int
    webhook: str | None


@dataclass(frozen=True)
class JobRecord(NewJob):
    """A job as it is stored. Times are seconds since 1970, by the store's clock.

    error        why it failed
    paused       why it does not go on at present
    revision     counts its changes
    rows_done    of the chunks that are published; rows_kept of them passed the filters
    seconds      that work on it took
    fence        counts the claims: only the last one may publish
    deaths       of processes that had claimed it, since its last chunk
    progressed   when it was claimed, or its last chunk was published
    finished     when it was done, failed or cancelled
    expired      when its files were deleted
    webhook_due  when its end is told next; None where nobody waits for it
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
