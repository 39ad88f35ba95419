"""Which files clients sent for batches to read. Their content is among the results."""

from collections.abc import Set

import sqlalchemy as sa

from service.jobs.store_connection import StoreConnection
from service.jobs.store_records import UNFINISHED, Upload
from service.jobs.store_room import delete
from service.jobs.store_tables import jobs, uploads

FORGOTTEN_AFTER = 86400.0  # seconds after an upload's content may be deleted
WRITTEN_WITHIN = 600.0  # seconds


class UploadStore(StoreConnection):
    """Every method is one short transaction; none may be called from the event loop."""

    def add(self, upload: str, owner: str, name: str, purpose: str, lines: int, size: int) -> Upload:
        """Nobody sees it until `complete`; its content may be written now."""
        with self._engine.begin() as connection:
            now = self._now(connection)
            made = Upload(upload, owner, name, purpose, lines, size, created=now, expired=now)
            connection.execute(sa.insert(uploads).values(vars(made)))
            return made

    def complete(self, upload: str) -> None:
        """Its content is there."""
        with self._engine.begin() as connection:
            connection.execute(sa.update(uploads).where(uploads.c.id == upload).values(expired=None))

    def get(self, upload: str, owner: str) -> Upload | None:
        """None where there is none of that owner, or it has expired."""
        wanted = sa.select(uploads).where(uploads.c.id == upload, uploads.c.owner == owner, uploads.c.expired.is_(None))
        with self._reading() as connection:
            row = connection.execute(wanted).one_or_none()
            return None if row is None else Upload(**row._mapping)

    def listed(self, owner: str) -> list[Upload]:
        """The owner's, the newest first."""
        wanted = sa.select(uploads).where(uploads.c.owner == owner, uploads.c.expired.is_(None))
        with self._reading() as connection:
            rows = connection.execute(wanted.order_by(uploads.c.created.desc(), uploads.c.id.desc()))
            return [Upload(**row._mapping) for row in rows]

    def delete(self, upload: str) -> None:
        """Its content may be deleted then, also where it is not complete."""
        self._let_go(uploads.c.id == upload)

    def expire(self, keep_seconds: float) -> None:
        """Let go of those that are older and that no unfinished batch reads, and of those that were broken off."""
        read = sa.select(jobs.c.input_file).where(jobs.c.state.in_(UNFINISHED), jobs.c.input_file.is_not(None))
        with self._reading() as connection:
            now = self._now(connection)
        complete = uploads.c.expired.is_(None)
        old = sa.and_(complete, uploads.c.created < now - keep_seconds, uploads.c.id.not_in(read))
        broken_off = sa.and_(uploads.c.bytes > 0, uploads.c.expired < now - WRITTEN_WITHIN)
        self._let_go(sa.or_(old, broken_off))

    def forget(self, removed: Set[str]) -> None:
        """Of those whose content is deleted, forget those that expired long ago."""
        with self._engine.begin() as connection:
            long_ago = self._now(connection) - FORGOTTEN_AFTER
            delete(connection, uploads.c.id, uploads.c.expired < long_ago, removed)

    def without_content(self) -> set[str]:
        """The uploads whose content may be deleted: none that may still be written."""
        with self._reading() as connection:
            gone = uploads.c.expired < self._now(connection) - WRITTEN_WITHIN
            return set(connection.execute(sa.select(uploads.c.id).where(gone)).scalars())

    def _let_go(self, which: sa.ColumnElement[bool]) -> None:
        """They take no bytes any more. One that was never complete has counted as expired since it came."""
        with self._engine.begin() as connection:
            gone = {"expired": sa.func.coalesce(uploads.c.expired, self._now(connection)), "bytes": 0}
            connection.execute(sa.update(uploads).where(which).values(gone))
