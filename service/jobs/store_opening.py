"""Opening a store: its address, how its transactions begin, and its schema brought to this version's."""

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError

from service.jobs.results import need_writable
from service.jobs.store import JobStore
from service.jobs.store_connection import first_line

BUSY_SECONDS = 10.0  # that a transaction waits for another, and a connection for a server
NETWORK_FILE_SYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "lustre", "gpfs", "glusterfs", "ceph", "fuse.sshfs", "beegfs"}
ONE_AT_A_TIME = 0x5091  # of PostgreSQL's advisory locks: services that start together migrate one after the other


class StoreUnavailable(Exception):
    """The store cannot be opened, with the reason."""


def sqlite_store(path: Path, clock: Callable[[], float] = time.time) -> JobStore:
    """The store in that file, which is made with its folder. Raises StoreUnavailable."""
    kind = file_system(path.parent)
    if kind in NETWORK_FILE_SYSTEMS:
        raise StoreUnavailable(f"{path.parent} is on {kind}, where SQLite's locks do not hold; use a local folder")
    try:
        need_writable(path.parent)
    except OSError as error:
        raise StoreUnavailable(f"{path.parent} is not writable ({error.strerror})") from error
    address = sa.URL.create("sqlite", database=str(path))  # as text it would end at a question mark
    engine = sa.create_engine(address, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False})

    @sa.event.listens_for(engine, "connect")
    def connected(connection: Any, _: object) -> None:
        connection.isolation_level = None  # `begun` says when a transaction begins, not the driver
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def begun(connection: sa.Connection) -> None:
        if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
            return  # it only reads, and waits for nobody
        # A transaction that reads and then writes would fail at once where another wrote in between.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return _migrated(engine, clock)


def postgres_store(address: str, clock: Callable[[], float] | None = None) -> JobStore:
    """The store in the database `postgresql://…`. Raises StoreUnavailable."""
    try:
        url = sa.make_url(address).set(drivername="postgresql+psycopg")
    except (sa.exc.ArgumentError, ValueError):  # which may tell the password
        raise StoreUnavailable("its address is not such as postgresql://user:password@host/database") from None
    connect = {"connect_timeout": round(BUSY_SECONDS), "options": f"-c statement_timeout={round(BUSY_SECONDS * 1000)}"}
    try:
        engine = sa.create_engine(url, connect_args=connect, pool_pre_ping=True)
    except ModuleNotFoundError as error:
        raise StoreUnavailable(f"{error.name} is not installed: pip install 'spirale[postgres]'") from error
    return _migrated(engine, clock)


def shared_lock(path: Path, *, alone: Callable[[], None]) -> int | None:
    """A lock that each process of a store holds until it ends, as an open file. Where no other process holds it,
    whoever had jobs there is dead, and `alone` is called. None where files cannot be locked.

    Raises what `alone` raises; then nothing is held.
    """
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if _locked(lock, fcntl.LOCK_EX, within=0):
            alone()
        if _locked(lock, fcntl.LOCK_SH, within=BUSY_SECONDS):  # another may find out just now whether it is alone
            return lock
        os.close(lock)
    except BaseException:
        os.close(lock)
        raise
    return None


def _locked(lock: int, how: int, within: float) -> bool:
    """Could it be locked so, within these seconds?"""
    until = time.monotonic() + within
    while True:
        try:
            fcntl.flock(lock, how | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(0.05)
        except OSError:  # a file system without locks
            return False
        else:
            return True


def file_system(path: Path, mounts: Path = Path("/proc/mounts")) -> str:
    """The kind of file system that a path is on, or would be; empty where that is not known."""
    try:
        lines = [line.split() for line in mounts.read_text().splitlines()]
    except OSError:
        return ""
    absolute = path.absolute()
    holding = [(len(Path(place).parts), kind) for _, place, kind, *_ in lines if absolute.is_relative_to(place)]
    return max(holding, key=lambda one: one[0])[1] if holding else ""


def _migrated(engine: sa.Engine, clock: Callable[[], float] | None) -> JobStore:
    try:
        with engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(ONE_AT_A_TIME)))
            config = Config()
            config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        engine.dispose()
        raise StoreUnavailable("the store was made by a newer version of this service") from error
    except sa.exc.DBAPIError as error:
        engine.dispose()
        raise StoreUnavailable(first_line(error)) from error
    return JobStore(engine, clock)
