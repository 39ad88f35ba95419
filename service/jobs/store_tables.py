"""The store's tables, as this version of the service uses them.

`migrations/` makes them: a test compares the two.
"""

import sqlalchemy as sa

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
    sa.Column("input_file", sa.String(40)),
    sa.Column("working_since", sa.Float),
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
uploads = sa.Table(
    "uploads",
    metadata,
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("owner", sa.String(64), nullable=False),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("purpose", sa.String(40), nullable=False),
    sa.Column("lines", sa.BigInteger, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("expired", sa.Float),
    sa.Index("uploads_by_owner", "owner", "created"),
)
