"""What there is in a store, in all."""

import sqlalchemy as sa

from service.jobs.store_connection import StoreConnection
from service.jobs.store_records import UNFINISHED, State
from service.jobs.store_tables import files, jobs


class StoreTotals(StoreConnection):
    """Every method only reads."""

    def unfinished(self, owner: str) -> tuple[int, int]:
        """How many jobs of the owner are unfinished, and how many in all."""
        waiting = sa.select(sa.func.count()).where(jobs.c.state.in_(UNFINISHED))
        both = sa.select(waiting.where(jobs.c.owner == owner).scalar_subquery(), waiting.scalar_subquery())
        with self._reading() as connection:
            mine, in_all = connection.execute(both).one()
            return mine, in_all

    def counts(self) -> dict[State, int]:
        """How many jobs are in each state; those that have expired do not count."""
        wanted = sa.select(jobs.c.state, sa.func.count()).where(jobs.c.expired.is_(None)).group_by(jobs.c.state)
        with self._reading() as connection:
            return {state: count for state, count in connection.execute(wanted)}

    def lag(self) -> float | None:
        """Seconds since a job that has rows went on, or was claimed again, or since the oldest unfinished one came, if
        that is later; None where all are finished. That others come is no going on."""
        oldest = sa.select(sa.func.min(jobs.c.created)).where(jobs.c.state.in_(UNFINISHED))
        latest = sa.select(sa.func.max(jobs.c.progressed)).where(jobs.c.rows_done > 0)
        with self._reading() as connection:
            waits_since, went_on = connection.execute(oldest).scalar_one(), connection.execute(latest).scalar_one()
            since = None if waits_since is None else max(waits_since, went_on or 0.0)
            return None if since is None else max(0.0, self._now(connection) - float(since))

    def output_sizes(self, owner: str, ending: str) -> dict[str, int]:
        """Bytes by batch, of those of the owner that have ended, in files whose names end so."""
        batches = sa.and_(jobs.c.owner == owner, jobs.c.input_file.is_not(None), jobs.c.finished.is_not(None))
        named = files.c.name.endswith(ending, autoescape=True)
        wanted = sa.select(jobs.c.id, sa.func.sum(files.c.bytes)).join_from(files, jobs).where(batches, named)
        with self._reading() as connection:
            return {job: int(size) for job, size in connection.execute(wanted.group_by(jobs.c.id))}

    def without_files(self) -> set[str]:
        """The jobs whose files may be deleted."""
        kept = sa.and_(jobs.c.expired.is_(None), sa.or_(jobs.c.state != "cancelled", jobs.c.input_file.is_not(None)))
        wanted = sa.select(jobs.c.id).where(sa.not_(kept))
        with self._reading() as connection:
            return set(connection.execute(wanted).scalars())

    def owners_waiting(self) -> set[str]:
        """Those whose jobs are unfinished."""
        wanted = sa.select(jobs.c.owner).where(jobs.c.state.in_(UNFINISHED)).distinct()
        with self._reading() as connection:
            return set(connection.execute(wanted).scalars())
