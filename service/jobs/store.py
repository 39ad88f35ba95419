"""Which jobs there are, and how far each is: in SQLite or PostgreSQL, by the same statements.

Several processes may share a store. A process claims a job for the time of a lease, and renews it while it works. Each
claim raises the job's fence. What is published names the fence that it was made under, so a process that lost its
lease publishes nothing. Every method is one short transaction; none may be called from the event loop.
"""

import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, fields

import sqlalchemy as sa

from service.jobs.store_records import UNFINISHED, JobRecord, NewJob, State, StoredFile
from service.jobs.store_room import StoreRoom, expired_at
from service.jobs.store_tables import chunks, files, jobs
from service.jobs.upload_store import UploadStore

LEASE_SECONDS = 15.0
MOST_DEATHS = 5  # of processes in a row, without a chunk between them, after which a job is not tried again

FILE_COLUMNS = [files.c[field.name] for field in fields(StoredFile)]


class KeyReused(Exception):
    """Another body came with the same idempotency key."""


class LeaseLost(Exception):
    """The job was cancelled, or another process works on it."""


class JobStore(StoreRoom):
    """`uploads` are the files that batches read."""

    def __init__(self, engine: sa.Engine, clock: Callable[[], float] | None = None):
        super().__init__(engine, clock)
        self.uploads = UploadStore(engine, clock)

    def close(self) -> None:
        self._engine.dispose()

    def add(self, new: NewJob) -> tuple[JobRecord, bool]:
        """The job, and whether it is new: one of the same owner and key is that one. Raises KeyReused."""
        with self._engine.begin() as connection:
            if (known := self._by_key(connection, new.owner, new.idempotency_key, new.body_hash)) is not None:
                return known, False
            now = self._now(connection)
            kind = "job-" if new.input_file is None else "batch_"
            values = asdict(new) | dict(
                id=kind + secrets.token_hex(12), state="queued", revision=1, rows_done=0, rows_kept=0, bytes=0,
                seconds=0.0, fence=0, deaths=0, created=now, progressed=now,
            )  # fmt: skip
            try:
                with connection.begin_nested():
                    row = connection.execute(sa.insert(jobs).values(values).returning(jobs)).one()
            except sa.exc.IntegrityError:  # it came twice at once
                known = self._by_key(connection, new.owner, new.idempotency_key, new.body_hash)
                if known is None:
                    raise
                return known, False
            return _record(row), True

    def known(self, owner: str, key: str, body_hash: str) -> JobRecord | None:
        """The job that came with this idempotency key and body before. Raises KeyReused."""
        with self._reading() as connection:
            return self._by_key(connection, owner, key, body_hash)

    def get(self, job: str, owner: str | None = None) -> JobRecord | None:
        """None where there is none of that owner; without an owner anybody's."""
        with self._reading() as connection:
            return self._get(connection, job, owner)

    def listed(
        self, owner: str, limit: int | None, before: str | None = None, *, batches: bool = False
    ) -> list[JobRecord]:
        """The owner's data sets that have not expired, or the batches, the newest first; `before`: those that are
        older than that one."""
        kind = jobs.c.input_file.is_not(None) if batches else jobs.c.input_file.is_(None)
        wanted = sa.select(jobs).where(jobs.c.owner == owner, jobs.c.expired.is_(None), kind)
        with self._reading() as connection:
            if before is not None:
                created = sa.select(jobs.c.created).where(jobs.c.id == before, jobs.c.owner == owner).scalar_subquery()
                place = sa.tuple_(jobs.c.created, jobs.c.id)
                wanted = wanted.where(place < sa.tuple_(created, sa.literal(before)))
            rows = connection.execute(wanted.order_by(jobs.c.created.desc(), jobs.c.id.desc()).limit(limit))
            return [_record(row) for row in rows]

    def claim(self, process: str, besides: Iterable[str] = (), barred: Iterable[str] = ()) -> JobRecord | None:
        """The job that has waited longest, for this process to work on: a queued one, or one whose lease ran out.
        None where there is none besides those and those of owners who are barred. One that too many processes died of
        becomes `failed`."""
        with self._engine.begin() as connection:
            while True:
                now = self._now(connection)
                free = sa.or_(jobs.c.state == "queued", sa.and_(jobs.c.state == "running", jobs.c.lease_until <= now))
                row = connection.execute(
                    sa.select(jobs)
                    .where(free, jobs.c.id.not_in(list(besides)), jobs.c.owner.not_in(list(barred)))
                    .order_by(jobs.c.created, jobs.c.id)
                    .limit(1)
                    .with_for_update(skip_locked=True)
                ).one_or_none()
                if row is None:
                    return None
                found = _record(row)
                deaths = found.deaths + (found.state == "running")
                if deaths >= MOST_DEATHS:
                    self._finish(connection, found.id, "failed", now, f"{MOST_DEATHS} processes died while it ran")
                    continue
                values = dict(
                    state="running", lease_owner=process, lease_until=now + LEASE_SECONDS, fence=found.fence + 1,
                    deaths=deaths, paused=None, revision=found.revision + 1, working_since=now,
                    progressed=now if found.paused is None else found.progressed,  # a claim in vain is no progress
                )  # fmt: skip
                return self._update(connection, found.id, values)

    def renew(self, job: str, fence: int, paused: str | None = None) -> JobRecord:
        """Keep the lease for another while, and tell why the job does not go on, if it does not. Raises LeaseLost."""
        with self._engine.begin() as connection:
            held, now = self._held(connection, job, fence), self._now(connection)
            values: dict[str, object] = {"lease_until": now + LEASE_SECONDS}
            if held.paused != paused:
                values |= {"paused": paused, "revision": held.revision + 1, "seconds": _worked(held, now)}
                values["working_since"] = now if paused is None else None
            return self._update(connection, job, values)

    def publish(
        self, job: str, fence: int, first: int, rows: int, made: Sequence[StoredFile], kept: int | None = None
    ) -> JobRecord:
        """A chunk is done: its files are there, and now they are seen. With the last one the job is done. Nothing
        happens where it was published before, as by a transaction whose answer was lost.

        Raises LeaseLost; then nothing is published.
        """
        with self._engine.begin() as connection:
            held = self._held(connection, job, fence)
            known = sa.select(chunks.c.first).where(chunks.c.job == job, chunks.c.first == first)
            if connection.execute(known).one_or_none() is not None:
                return held
            now = self._now(connection)
            connection.execute(sa.insert(chunks).values(job=job, first=first, rows=rows, fence=fence))
            if made:
                connection.execute(sa.insert(files), [{"job": job, **asdict(one)} for one in made])
            values: dict[str, object] = dict(
                rows_done=held.rows_done + rows, rows_kept=held.rows_kept + (rows if kept is None else kept),
                bytes=held.bytes + sum(one.bytes for one in made),
                seconds=_worked(held, now), working_since=now, progressed=now,
                deaths=0, paused=None, lease_until=now + LEASE_SECONDS, revision=held.revision + 1,
            )  # fmt: skip
            if held.rows_done + rows == held.rows:
                values |= {"state": "done", "finished": now, "lease_owner": None, "lease_until": None}
                values |= _telling(held, now)
            return self._update(connection, job, values)

    def published(self, job: str) -> set[int]:
        """The first rows of the chunks that are done."""
        with self._reading() as connection:
            return set(connection.execute(sa.select(chunks.c.first).where(chunks.c.job == job)).scalars())

    def fail(self, job: str, fence: int, error: str) -> JobRecord:
        """Raises LeaseLost."""
        with self._engine.begin() as connection:
            self._held(connection, job, fence)
            return self._finish(connection, job, "failed", self._now(connection), error)

    def give_back(self, job: str, fence: int, paused: str) -> JobRecord:
        """Any process may take it, and `paused` tells why this one does not go on. Raises LeaseLost."""
        with self._engine.begin() as connection:
            held = self._held(connection, job, fence)
            given: dict[str, object] = dict(state="queued", lease_owner=None, lease_until=None, paused=paused)
            given["revision"] = held.revision + 1
            return self._update(connection, job, given)

    def release(self, process: str) -> None:
        """Give back all jobs of a process that ends in good order: others may go on at once."""
        with self._engine.begin() as connection:
            mine = sa.and_(jobs.c.state == "running", jobs.c.lease_owner == process)
            given = dict(state="queued", lease_owner=None, lease_until=None, paused=None, revision=jobs.c.revision + 1)
            connection.execute(sa.update(jobs).where(mine).values(given))

    def end_all_leases(self) -> None:
        """No other process can be alive: what it worked on need not wait for the lease to run out."""
        with self._engine.begin() as connection:
            connection.execute(sa.update(jobs).where(jobs.c.state == "running").values(lease_until=0.0))

    def stop(self, job: str) -> JobRecord:
        """End a job that is not finished, and keep its files. Nothing happens to one that is."""
        with self._engine.begin() as connection:
            record = self._locked(connection, job)
            if record.state not in UNFINISHED:
                return record
            return self._finish(connection, job, "cancelled", self._now(connection), None)

    def cancel(self, job: str) -> JobRecord:
        """End a job that is not finished, or let go of one that is. Its files may be deleted then."""
        with self._engine.begin() as connection:
            now = self._now(connection)
            record = self._locked(connection, job)
            connection.execute(sa.delete(files).where(files.c.job == job))
            if record.state in UNFINISHED:
                self._finish(connection, job, "cancelled", now, None)
                return self._update(connection, job, {"bytes": 0})
            return self._update(connection, job, expired_at(now) | {"revision": record.revision + 1})

    def take_webhook(self, delay: Callable[[int], float | None]) -> JobRecord | None:
        """A finished job whose end is due to be told; None without one. It becomes due again after `delay(tries)`
        seconds, unless `told` comes before; None is never."""
        with self._engine.begin() as connection:
            now = self._now(connection)
            due = sa.select(jobs).where(jobs.c.webhook_due <= now).order_by(jobs.c.webhook_due).limit(1)
            row = connection.execute(due.with_for_update(skip_locked=True)).one_or_none()
            if row is None:
                return None
            tries = _record(row).webhook_tries + 1
            wait = delay(tries)
            again: dict[str, object] = {"webhook_tries": tries, "webhook_due": None if wait is None else now + wait}
            return self._update(connection, row.id, again)

    def told(self, job: str) -> None:
        """The other side has taken it."""
        with self._engine.begin() as connection:
            connection.execute(sa.update(jobs).where(jobs.c.id == job).values(webhook_due=None))

    def files(self, job: str) -> list[StoredFile]:
        """Of the chunks that are done, in the rows' order."""
        wanted = sa.select(*FILE_COLUMNS).where(files.c.job == job).order_by(files.c.first, files.c.name)
        with self._reading() as connection:
            return [StoredFile(**row._mapping) for row in connection.execute(wanted)]

    def file(self, job: str, name: str) -> StoredFile | None:
        """None where there is none of that name yet."""
        wanted = sa.select(*FILE_COLUMNS).where(files.c.job == job, files.c.name == name)
        with self._reading() as connection:
            row = connection.execute(wanted).one_or_none()
            return None if row is None else StoredFile(**row._mapping)

    def delete_files(self, job: str, ending: str) -> None:
        """Let go of the files whose names end so: they may be deleted then."""
        gone = sa.delete(files).where(files.c.job == job, files.c.name.endswith(ending, autoescape=True))
        left = sa.select(sa.func.coalesce(sa.func.sum(files.c.bytes), 0)).where(files.c.job == job).scalar_subquery()
        with self._engine.begin() as connection:
            connection.execute(gone)
            connection.execute(sa.update(jobs).where(jobs.c.id == job).values(bytes=left))

    def _get(self, connection: sa.Connection, job: str, owner: str | None = None) -> JobRecord | None:
        wanted = sa.select(jobs).where(jobs.c.id == job)
        row = connection.execute(wanted if owner is None else wanted.where(jobs.c.owner == owner)).one_or_none()
        return None if row is None else _record(row)

    def _by_key(self, connection: sa.Connection, owner: str, key: str | None, body_hash: str) -> JobRecord | None:
        same = sa.and_(jobs.c.owner == owner, jobs.c.idempotency_key == key)
        row = None if key is None else connection.execute(sa.select(jobs).where(same)).one_or_none()
        if row is None:
            return None
        known = _record(row)
        if known.body_hash != body_hash:
            raise KeyReused(known.id)
        return known

    def _locked(self, connection: sa.Connection, job: str) -> JobRecord:
        return _record(connection.execute(sa.select(jobs).where(jobs.c.id == job).with_for_update()).one())

    def _held(self, connection: sa.Connection, job: str, fence: int) -> JobRecord:
        row = connection.execute(sa.select(jobs).where(jobs.c.id == job).with_for_update()).one_or_none()
        if row is None or row.state != "running" or row.fence != fence:
            raise LeaseLost(job)
        return _record(row)

    def _finish(self, connection: sa.Connection, job: str, state: State, now: float, error: str | None) -> JobRecord:
        ended: dict[str, object] = dict(lease_owner=None, lease_until=None, paused=None, revision=jobs.c.revision + 1)
        ended |= _telling(self._locked(connection, job), now)
        return self._update(connection, job, {"state": state, "error": error, "finished": now, **ended})

    def _update(self, connection: sa.Connection, job: str, values: dict[str, object]) -> JobRecord:
        changed = sa.update(jobs).where(jobs.c.id == job).values(values).returning(jobs)
        return _record(connection.execute(changed).one())


def _telling(record: JobRecord, now: float) -> dict[str, object]:
    """What is stored with a job's end, in one transaction, so that it is told whatever happens after."""
    return {} if record.webhook is None else {"webhook_due": now}


def _worked(record: JobRecord, now: float) -> float:
    """The seconds that work on a job took until now: not those of pauses."""
    return record.seconds + (0.0 if record.working_since is None else max(0.0, now - record.working_since))


def _record(row: sa.Row[tuple[object, ...]]) -> JobRecord:
    return JobRecord(**row._mapping)
