from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from service.jobs.store import JobStore
from service.jobs.store_opening import postgres_store, sqlite_store
from service.jobs.store_records import NewJob
from tests.postgres import postgres_server


class Clock:
    """Of a store, set by hand."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        self.now += 0.001  # no two moments are the same
        return self.now


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    with postgres_server() as address:
        yield address


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "postgres"])
def make_store(request, tmp_path, clock) -> Iterator[Callable[[], JobStore]]:
    """Opens the same store again and again, as several processes do."""
    opened = []
    if request.param == "sqlite":
        open_store = lambda: sqlite_store(tmp_path / "jobs.sqlite", clock)  # noqa: E731
    else:
        address = request.getfixturevalue("postgres")
        open_store = lambda: postgres_store(address, clock)  # noqa: E731

    def make() -> JobStore:
        opened.append(open_store())
        return opened[-1]

    yield make
    if opened and request.param == "postgres":
        with opened[0]._engine.begin() as connection:
            connection.execute(sa.text("TRUNCATE jobs, uploads CASCADE"))
    for store in opened:
        store.close()


@pytest.fixture
def store(make_store) -> JobStore:
    return make_store()


def new_job(
    rows: int = 10,
    rows_per_file: int = 4,
    owner: str = "me",
    key: str | None = None,
    body: str = "a",
    webhook: str | None = None,
    input_file: str | None = None,
) -> NewJob:
    return NewJob(owner, key, body, "{}", rows, rows_per_file, webhook, input_file)
