"""Which job's turn it is, and whose files are whose: over a real store, with chunks that need no device."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from service.engine.job import EngineStopped
from service.engine.key import ANYBODY, Allowance, Key
from service.jobs import producer as producing
from service.jobs.chunk import Written
from service.jobs.claimed import Claimed
from service.jobs.job_options import JobOptions
from service.jobs.label_plan import LabelPlan
from service.jobs.producer import TOGETHER, Producer
from service.jobs.results import FolderResults
from service.jobs.specification import Specification
from service.jobs.store import JobStore
from service.jobs.store_opening import sqlite_store
from service.jobs.store_records import NewJob
from service.metrics import Metrics

SPECIFICATION = Specification(
    rows=2, rows_per_file=1, request={}, labels=LabelPlan(), asked_label=None, names=(), format="npy",
    reproducible=True, model_key="m", arithmetic="a",
)  # fmt: skip


class EmptyChunk:
    """A row that is made of nothing."""

    rows, jobs, samples = 1, (), {}

    def __init__(self, first: int):
        self.first = first

    def written(self, found) -> Written:
        return Written({".npy": b"x"}, 1)


@pytest.fixture
def store(tmp_path) -> Iterator[JobStore]:
    store = sqlite_store(tmp_path / "jobs.sqlite")
    yield store
    store.close()


@pytest.fixture
def results(tmp_path) -> FolderResults:
    return FolderResults(tmp_path / "results")


SEEN_AFTER = 0.1  # seconds, that a model is not ready


@pytest.fixture
def stuck(monkeypatch) -> set[str]:
    """The jobs whose model is not ready."""
    jobs: set[str] = set()

    def template_of(record, *_):
        if record.id in jobs:
            time.sleep(SEEN_AFTER)
            raise EngineStopped("the model is not ready")
        return SimpleNamespace(chunk=EmptyChunk)

    monkeypatch.setattr(producing, "template_of", template_of)
    return jobs


@pytest.fixture
def make(store, results, stuck, tmp_path) -> Iterator[Callable[..., Producer]]:
    with ThreadPoolExecutor(1) as asking, ThreadPoolExecutor(1) as writing:

        def producer(key_of: Callable[[str], Key] = lambda owner: ANYBODY) -> Producer:
            engine = SimpleNamespace(snapshot=lambda: SimpleNamespace(ready=True, workers=[None]))
            memory = SimpleNamespace(askable=lambda catalog: (), limited=False)
            catalog = SimpleNamespace(by_key={})
            options = JobOptions(tmp_path, tmp_path)
            return Producer(
                store, results, engine, memory, lambda: catalog, key_of, options, Metrics(), asking, writing
            )

        yield producer


def added(store: JobStore, owner: str = "me") -> str:
    return store.add(NewJob(owner, None, "a", SPECIFICATION.model_dump_json(), 2, 1, None, None))[0].id


async def run_until_done(producer: Producer, store: JobStore, job: str) -> None:
    running = asyncio.create_task(producer.run())
    async with asyncio.timeout(30):
        while store.get(job).state != "done":
            assert not running.done(), "it goes on whatever happens"
            await asyncio.sleep(0.01)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


@pytest.mark.parametrize("claimed_before", [True, False])
def test_jobs_of_a_key_that_has_used_its_allowance_hold_up_no_other_key(store, make, claimed_before, monkeypatch):
    monkeypatch.setattr(producing, "LEASE_SECONDS", 0.03)  # of the producer's own: it tells the store more often
    allowance = Allowance(60.0, clock=lambda: 0.0)
    keys = {"poor": Key("poor", allowance=allowance), "me": Key("me")}
    waiting = [added(store, "poor") for _ in range(TOGETHER + 2)]
    producer = make(keys.__getitem__)

    def paused() -> set[str | None]:
        return {store.get(job).paused for job in waiting[:TOGETHER]}

    async def look():
        if claimed_before:
            await producer._claim()
        allowance.use(100.0)
        told = {"its key has used its rate of 60 device-seconds a minute"}
        running = asyncio.create_task(producer.run())
        other = added(store)
        async with asyncio.timeout(30):
            while store.get(other).state != "done" or (claimed_before and paused() != told):
                await asyncio.sleep(0.01)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running

    asyncio.run(look())
    assert {store.get(job).rows_done for job in waiting} == {0}
    assert {store.get(job).fence for job in waiting[TOGETHER:]} == {0}
    assert paused() == {None}, "who ends in good order leaves no reason of its own"


def test_a_specification_is_not_read_on_the_event_loop(store, make, monkeypatch):
    def beside_the_loop(record):
        with pytest.raises(RuntimeError, match="no running event loop"):
            asyncio.get_running_loop()
        return SPECIFICATION

    monkeypatch.setattr(producing, "specification_of", beside_the_loop)
    asyncio.run(run_until_done(make(), store, added(store)))


def test_jobs_of_a_model_that_is_not_ready_hold_up_no_other_job(store, make, stuck):
    stuck |= {added(store) for _ in range(TOGETHER + 2)}
    asyncio.run(run_until_done(make(), store, added(store)))
    found = [store.get(job) for job in stuck]
    assert {(one.state, one.paused) for one in found} == {("queued", "the model is not ready")}
    waited = next(iter(stuck))
    stuck.clear()
    asyncio.run(run_until_done(make(), store, waited))
    assert store.get(waited).paused is None


def test_jobs_that_rest_for_less_than_they_are_waited_for_have_their_turn_after_all_others(
    store, make, stuck, monkeypatch
):
    monkeypatch.setattr(producing, "REST", SEEN_AFTER / 10)
    stuck |= {added(store) for _ in range(3 * TOGETHER)}
    asyncio.run(run_until_done(make(), store, added(store)))
    assert {store.get(job).state for job in stuck} <= {"queued", "running"}


def test_an_error_that_nobody_expected_ends_no_more_than_its_step(store, make, results, monkeypatch):
    def fail(*_):
        raise RuntimeError("a bug")

    monkeypatch.setattr(results, "remove", fail)
    asyncio.run(run_until_done(make(), store, added(store)))


def test_files_of_a_later_claim_are_not_swept(store, make, results):
    job = added(store)
    stale = store.claim("this process")
    for name in ("00000000-0.npy", "00000000-1.npy.unfinished", "00000000-2.npy", "stray"):
        results.put(job, name, b"x")
    asyncio.run(make()._sweep(stale))
    assert list(results.read(job, "00000000-2.npy", 0, 1)) == [b"x"]
    for name in ("00000000-0.npy", "stray"):
        with pytest.raises(FileNotFoundError):
            results.read(job, name, 0, 1)


def test_a_task_of_a_claim_that_was_lost_leaves_the_later_claim_alone(store, make):
    job, producer = added(store), make()
    claims = []
    for _ in range(2):
        claims.append(Claimed(store.claim("this process"), SPECIFICATION, left=producing.deque([0, 1])))
        store.end_all_leases()

    async def look():
        producer._claimed[job] = claims[1]
        await producer._make(claims[0], 0)
        assert producer._claimed == {job: claims[1]} and store.files(job) == []
        await producer._make(claims[1], 0)

    asyncio.run(look())
    assert [one.stored for one in store.files(job)] == ["00000000-2.npy"]
