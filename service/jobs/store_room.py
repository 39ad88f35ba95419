"""What a store lets go of: jobs that finished long ago, and the oldest ones where their place is needed."""

from collections.abc import Set

import sqlalchemy as sa

from service.jobs.store_tables import files, jobs, uploads
from service.jobs.store_totals import StoreTotals

FORGOTTEN_AFTER = 86400.0  # seconds, at least, after a job has expired


class StoreRoom(StoreTotals):
    """Every method is one transaction. Files of the jobs that it names may be deleted then."""

    def expire(self, keep_seconds: float, keep_bytes: int) -> list[str]:
        """Let go of finished jobs: those that are older, then the oldest until the rest holds no more bytes."""
        with self._engine.begin() as connection:
            return self._expire(connection, keep_seconds, keep_bytes)

    def forget(self, removed: Set[str], keep_seconds: float) -> None:
        """Of the jobs whose files are deleted, forget those that expired long ago."""
        with self._engine.begin() as connection:
            long_ago = self._now(connection) - max(keep_seconds, FORGOTTEN_AFTER)
            delete(connection, jobs.c.id, jobs.c.expired < long_ago, removed)

    def make_room(self, size: int, keep_seconds: float, keep_bytes: int) -> list[str] | None:
        """Let go of finished jobs as `expire` does, if so many more bytes have no place beside them. None where they
        would not fit without any finished job either: then no job has to go."""
        kept = jobs.c.expired.is_(None)
        with self._engine.begin() as connection:
            sent = _sum(connection, uploads.c.bytes)
            if sent + _sum(connection, jobs.c.bytes, kept) + size <= keep_bytes:
                return []
            stays = sent + _sum(connection, jobs.c.bytes, sa.and_(kept, jobs.c.finished.is_(None)))
            return None if stays + size > keep_bytes else self._expire(connection, keep_seconds, keep_bytes - size)

    def _expire(self, connection: sa.Connection, keep_seconds: float, keep_bytes: int) -> list[str]:
        now = self._now(connection)
        kept = sa.select(jobs.c.id, jobs.c.bytes, jobs.c.finished).where(jobs.c.expired.is_(None))
        held = connection.execute(kept.order_by(jobs.c.finished.is_(None).desc(), jobs.c.finished.desc())).all()
        gone, total = [], _sum(connection, uploads.c.bytes)
        for job, size, finished in held:  # unfinished jobs first, then from the newest to the oldest
            total += size
            if finished is not None and (finished < now - keep_seconds or total > keep_bytes):
                gone.append(job)
                total -= size
        if gone:
            connection.execute(sa.update(jobs).where(jobs.c.id.in_(gone)).values(expired_at(now)))
            connection.execute(sa.delete(files).where(files.c.job.in_(gone)))
        return gone


def expired_at(now: float) -> dict[str, object]:
    """Of a job that expires. Whoever comes again with its idempotency key gets another one, which has files."""
    return {"expired": now, "idempotency_key": None}


def delete(connection: sa.Connection, name: sa.Column[str], which: sa.ColumnElement[bool], among: Set[str]) -> None:
    """Those of these names that are such. A database takes so many names only, so such ones are asked for first."""
    names = set(connection.execute(sa.select(name).where(which)).scalars()) & among
    if names:
        connection.execute(sa.delete(name.table).where(name.in_(names)))


def _sum(connection: sa.Connection, size: sa.Column[int], which: sa.ColumnElement[bool] | None = None) -> int:
    wanted = sa.select(sa.func.coalesce(sa.func.sum(size), 0))
    return int(connection.execute(wanted if which is None else wanted.where(which)).scalar_one())
