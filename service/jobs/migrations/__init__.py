"""The steps of the store's schema, which Alembic runs when a service opens its store."""
