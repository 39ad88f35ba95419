"""A store's connections, its clock, and transactions that only read."""

from collections.abc import Callable

import sqlalchemy as sa


def first_line(error: sa.exc.DBAPIError) -> str:
    """Why the database did not do it. What follows that is often the statement, or advice for its operator."""
    return str(error.orig).strip().partition("\n")[0]


class StoreConnection:
    """`clock` tells the seconds since 1970; without one PostgreSQL's own counts, which all its clients share."""

    def __init__(self, engine: sa.Engine, clock: Callable[[], float] | None = None):
        self._engine = engine
        self._clock = clock

    def _reading(self) -> sa.Connection:
        """Without a transaction: in SQLite even one that only reads would wait for those that write."""
        return self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")

    def _now(self, connection: sa.Connection) -> float:
        if self._clock is not None:
            return self._clock()
        return float(connection.execute(sa.text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())
