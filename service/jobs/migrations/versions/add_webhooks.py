"""Where a job's end is told, when next, and how often that was tried."""

import sqlalchemy as sa
from alembic import op

revision = "2"
down_revision = "1"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("webhook", sa.Text))
    op.add_column("jobs", sa.Column("webhook_due", sa.Float))
    op.add_column("jobs", sa.Column("webhook_tries", sa.Integer, nullable=False, server_default="0"))
    op.create_index("jobs_by_webhook", "jobs", ["webhook_due"])
