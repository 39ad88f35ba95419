"""Run by Alembic: brings the schema to the newest step, in the transaction of the connection that it is given."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
