"""Since when a job goes on: the time that it rests is no work."""

import sqlalchemy as sa
from alembic import op

revision = "4"
down_revision = "3"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("working_since", sa.Float))
