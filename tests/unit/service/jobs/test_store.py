"""A job is worked on by one process, every chunk is published once, and what dies is taken over: in both databases."""

import os
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from service.jobs.store import LEASE_SECONDS, MOST_DEATHS, JobStore, KeyReused, LeaseLost
from service.jobs.store_opening import StoreUnavailable, file_system, postgres_store, shared_lock, sqlite_store
from service.jobs.store_records import StoredFile
from service.jobs.store_tables import files, jobs, metadata, uploads
from service.jobs.upload_store import FORGOTTEN_AFTER, WRITTEN_WITHIN
from service.jobs.webhooks import FIRST_DELAY, MOST_TRIES, delay_after
from tests.unit.service.jobs.conftest import new_job


def one_file(first: int, fence: int = 1, size: int = 100) -> StoredFile:
    return StoredFile(f"part-{first:05d}.npy", first, f"{first}-{fence}.npy", size, "0" * 64)


def kept_bytes(store: JobStore) -> int:
    """That files and uploads take."""
    with store._engine.connect() as connection:
        sums = [connection.execute(sa.select(sa.func.sum(table.c.bytes))).scalar() or 0 for table in (files, uploads)]
    return int(sum(sums))


def test_the_migrations_make_the_tables_that_the_code_uses(store):
    with store._engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_job_goes_from_queued_to_done_chunk_by_chunk(store, clock):
    made, is_new = store.add(new_job(rows=10, rows_per_file=4))
    assert is_new and made.state == "queued" and store.get(made.id, "me") == made
    running = store.claim("process")
    assert (running.id, running.state, running.fence, running.deaths) == (made.id, "running", 1, 0)
    assert store.claim("other") is None
    for first, rows, state in ((4, 4, "running"), (0, 4, "running"), (8, 2, "done")):
        clock.now += 2
        record = store.publish(made.id, 1, first, rows, [one_file(first)])
        assert record.state == state
    assert record.rows_done == record.rows_kept == 10 and record.bytes == 300 and record.finished
    assert record.seconds == pytest.approx(6, abs=0.1)
    assert [file.first for file in store.files(made.id)] == [0, 4, 8]
    assert store.file(made.id, "part-00004.npy") == one_file(4)
    assert store.file(made.id, "part-00005.npy") is store.file("job-other", "part-00004.npy") is None
    assert store.published(made.id) == {0, 4, 8}
    assert store.claim("process") is None and store.counts() == {"done": 1}


def test_a_job_is_only_its_owners(store):
    mine, theirs = store.add(new_job(owner="me"))[0], store.add(new_job(owner="other"))[0]
    assert store.get(theirs.id, "me") is None and store.get(theirs.id) == theirs
    assert [one.id for one in store.listed("me", 10)] == [mine.id]


def test_lists_go_from_the_newest_on_page_by_page(store):
    ids = [store.add(new_job())[0].id for _ in range(5)]
    assert [one.id for one in store.listed("me", 2)] == ids[:2:-1]
    assert [one.id for one in store.listed("me", 2, before=ids[3])] == [ids[2], ids[1]]
    assert store.listed("me", 2, before="job-unknown") == []


def test_the_same_key_is_the_same_job_and_another_body_is_refused(store):
    first, _ = store.add(new_job(key="k"))
    assert store.add(new_job(key="k")) == (first, False)
    with pytest.raises(KeyReused):
        store.add(new_job(key="k", body="b"))
    assert store.add(new_job(key="k", owner="other"))[1] and store.add(new_job())[1] and store.add(new_job())[1]
    assert len(store.listed("me", 10)) == 3


def test_a_key_of_a_job_that_has_expired_is_free_again(store):
    for let_go in (lambda job: store.cancel(job), lambda job: store.expire(1000, 0)):
        job = store.add(new_job(rows=4, key="k"))[0].id
        store.publish(job, store.claim("process").fence, 0, 4, [one_file(0)])
        let_go(job)
        assert store.get(job).expired and store.known("me", "k", "a") is store.known("me", "k", "b") is None
        again, is_new = store.add(new_job(rows=4, key="k"))
        assert is_new and again.id != job and store.known("me", "k", "a") == again
        store.cancel(again.id)
        store.cancel(again.id)


def test_a_lease_that_runs_out_is_taken_over_and_the_old_process_publishes_nothing(make_store, clock):
    ours, theirs = make_store(), make_store()
    job = ours.add(new_job())[0].id
    assert ours.claim("ours").fence == 1
    clock.now += LEASE_SECONDS / 2
    ours.renew(job, 1)
    clock.now += LEASE_SECONDS - 1
    assert theirs.claim("theirs") is None
    clock.now += 2
    taken = theirs.claim("theirs")
    assert (taken.id, taken.fence, taken.deaths) == (job, 2, 1)
    for late in (
        lambda: ours.publish(job, 1, 0, 4, [one_file(0)]),
        lambda: ours.renew(job, 1),
        lambda: ours.fail(job, 1, "late"),
    ):
        with pytest.raises(LeaseLost):
            late()
    assert theirs.files(job) == [] and theirs.published(job) == set() and theirs.get(job) == taken
    assert theirs.publish(job, 2, 0, 4, [one_file(0, fence=2)]).deaths == 0


def test_a_chunk_that_is_published_twice_counts_once(store):
    job = store.add(new_job())[0].id
    store.claim("process")
    before = store.publish(job, 1, 0, 4, [one_file(0)])
    assert store.publish(job, 1, 0, 4, [one_file(0)]) == before
    assert store.get(job) == before and len(store.files(job)) == 1


def test_a_job_that_kills_every_process_is_given_up_and_the_next_one_runs(store):
    deadly, next_one = store.add(new_job())[0].id, store.add(new_job())[0].id
    for _ in range(MOST_DEATHS):
        assert store.claim("process").id == deadly
        store.end_all_leases()
    assert store.claim("process").id == next_one
    failed = store.get(deadly)
    assert failed.state == "failed" and failed.error == "5 processes died while it ran"


def test_an_orderly_end_gives_jobs_back_at_once_and_counts_as_no_death(store):
    job = store.add(new_job())[0].id
    store.claim("process")
    store.release("another")
    assert store.claim("next") is None
    store.release("process")
    assert store.get(job).state == "queued" and store.claim("next").deaths == 0


def test_a_paused_job_says_why_until_it_goes_on(store):
    job = store.add(new_job())[0].id
    before = store.claim("process")
    paused = store.renew(job, 1, "the disk is full")
    assert paused.paused == "the disk is full" and paused.revision == before.revision + 1
    assert store.renew(job, 1, "the disk is full").revision == paused.revision
    assert store.publish(job, 1, 0, 4, []).paused is None


def test_pauses_are_no_work(store, clock):
    """Else a night of a full disk would make the rest of the job look as slow for as long as it lasts."""
    job = store.add(new_job(rows=12))[0].id
    store.claim("process")
    clock.now += 2
    store.renew(job, 1, "the disk is full")
    clock.now += 3600
    store.renew(job, 1, "the store does not answer")
    clock.now += 3600
    assert store.publish(job, 1, 0, 4, []).seconds == pytest.approx(2, abs=0.1)
    clock.now += 3
    store.renew(job, 1, "the disk is full")
    clock.now += 3600
    store.renew(job, 1)
    clock.now += 4
    assert store.publish(job, 1, 4, 4, []).seconds == pytest.approx(9, abs=0.1)
    store.give_back(job, 1, "the model is not ready")
    clock.now += 3600
    store.claim("next")
    clock.now += 1
    assert store.publish(job, 2, 8, 4, []).seconds == pytest.approx(10, abs=0.1)


def test_a_job_that_cannot_go_on_here_is_given_back_and_says_why(store):
    job = store.add(new_job())[0].id
    store.claim("process")
    store.give_back(job, 1, "the model is not ready")
    assert (store.get(job).state, store.get(job).paused) == ("queued", "the model is not ready")
    with pytest.raises(LeaseLost):
        store.give_back(job, 1, "late")
    taken = store.claim("other")
    assert (taken.fence, taken.deaths, taken.paused) == (2, 0, None)


def test_a_job_that_is_claimed_in_vain_again_and_again_lags(store):
    job = store.add(new_job())[0].id
    claimed = store.claim("process").progressed
    for fence in (1, 2):
        store.give_back(job, fence, "the model is not ready")
        assert store.claim("process").progressed == claimed
    assert store.publish(job, 3, 0, 4, [one_file(0)]).progressed > claimed


def test_it_lags_since_any_job_went_on_whatever_comes_meanwhile(store, clock):
    assert store.lag() is None
    paused = store.add(new_job())[0].id
    fence = store.claim("process").fence
    for passed in (300, 600):
        clock.now += 300
        store.renew(paused, fence, "the disk is full")
        store.add(new_job())
        store.claim("process")
        assert store.lag() == pytest.approx(passed, abs=1)
    store.publish(paused, fence, 0, 4, [one_file(0)])
    clock.now += 10
    assert store.lag() == pytest.approx(10, abs=1)
    for job in store.listed("me", 10):
        store.stop(job.id)
    assert store.lag() is None
    clock.now += 1000
    store.add(new_job())
    clock.now += 5
    assert store.lag() == pytest.approx(5, abs=1)


def test_jobs_of_owners_who_are_barred_wait(store):
    mine, theirs = store.add(new_job())[0].id, store.add(new_job(owner="other"))[0].id
    assert store.owners_waiting() == {"me", "other"}
    assert store.claim("process", barred=["me"]).id == theirs
    assert store.claim("process", barred=["me"]) is None and store.claim("process").id == mine
    for job in (mine, theirs):
        store.stop(job)
    assert store.owners_waiting() == set()


def test_cancelling_ends_the_work_and_lets_go_of_the_files(store):
    job, waiting = store.add(new_job())[0].id, store.add(new_job())[0].id
    store.claim("process")
    store.publish(job, 1, 0, 4, [one_file(0)])
    assert store.cancel(job).state == store.cancel(waiting).state == "cancelled"
    assert store.files(job) == [] and store.claim("process") is None
    with pytest.raises(LeaseLost):
        store.publish(job, 1, 4, 4, [one_file(4)])
    assert store.cancel(job).expired


def test_bytes_of_a_job_that_was_cancelled_push_no_other_job_out(store):
    done, cancelled = store.add(new_job(rows=4))[0].id, store.add(new_job(rows=8))[0].id
    for job in (done, cancelled):
        store.publish(job, store.claim("process").fence, 0, 4, [one_file(0, size=100)])
    store.cancel(cancelled)
    assert kept_bytes(store) == 100 and store.get(cancelled).bytes == 0
    assert store.expire(1000, 150) == []


def test_who_reads_does_not_wait_for_who_writes(make_store):
    writes, reads = make_store(), make_store()
    job = writes.add(new_job())[0].id
    with writes._engine.begin() as connection:
        connection.execute(sa.update(jobs).values(rows_done=4))
        assert reads.get(job).rows_done == 0 and reads.counts() == {"queued": 1}
    assert reads.get(job).rows_done == 4


def test_unfinished_jobs_are_counted_of_the_owner_and_in_all(store):
    assert store.unfinished("me") == (0, 0)
    done = store.add(new_job(rows=4, rows_per_file=4))[0].id
    store.claim("process")
    store.publish(done, 1, 0, 4, [one_file(0)])
    for owner in ("me", "me", "other"):
        store.add(new_job(owner=owner))
    store.claim("process")
    assert (store.unfinished("me"), store.unfinished("other"), store.unfinished("nobody")) == ((2, 3), (1, 3), (0, 3))


def test_finished_jobs_go_by_age_and_then_by_bytes_the_oldest_first(store, clock):
    ids = []
    for _ in range(4):
        ids.append(store.add(new_job(rows=4))[0].id)
        store.claim("process")
        store.publish(ids[-1], 1, 0, 4, [one_file(0, size=100)])
        clock.now += 100
    running = store.add(new_job(rows=8))[0].id
    store.publish(running, store.claim("process").fence, 0, 4, [one_file(0, size=100)])
    assert store.expire(350, 10**6) == ids[:1]
    assert store.expire(350, 250) == ids[2:0:-1]  # the running one's and the newest's bytes stay
    assert [one.id for one in store.listed("me", 10)] == [running, ids[3]] and kept_bytes(store) == 200
    gone = store.get(ids[0])
    assert gone.state == "done" and gone.expired and store.files(ids[0]) == []
    store.forget({*ids}, 350)
    assert store.get(ids[0]) is not None
    clock.now += 2 * 86400
    assert store.expire(350, 250) == ids[3:]
    store.forget({ids[0], running, "job-unknown"}, 350)
    assert store.get(ids[0]) is None and store.get(running) is not None
    assert store.get(ids[1]) is not None and ids[1] in store.without_files(), "its files are not deleted yet"


def test_finished_jobs_make_room_where_that_is_enough_and_else_stay(store):
    ids = []
    for _ in range(3):
        ids.append(store.add(new_job(rows=4))[0].id)
        store.publish(ids[-1], store.claim("process").fence, 0, 4, [one_file(0, size=100)])
    running = store.add(new_job(rows=8))[0].id
    store.publish(running, store.claim("process").fence, 0, 4, [one_file(0, size=100)])
    store.uploads.add("file-a", "me", "asked.jsonl", "batch", 3, 100)
    assert store.make_room(500, 1000, 1000) == [] and store.make_room(301, 1000, 500) is None
    assert kept_bytes(store) == 500 and [len(store.files(job)) for job in ids] == [1] * 3
    assert store.make_room(101, 1000, 500) == ids[1::-1]
    assert store.make_room(300, 1000, 500) == ids[2:] and kept_bytes(store) == 200
    assert len(store.files(running)) == 1


def test_room_that_is_there_costs_no_job_however_old(store, clock):
    job = store.add(new_job(rows=4))[0].id
    store.publish(job, store.claim("process").fence, 0, 4, [one_file(0, size=100)])
    clock.now += 5000
    assert store.make_room(400, 1000, 500) == [] and len(store.files(job)) == 1
    assert store.make_room(401, 1000, 500) == [job]


def test_a_clock_that_jumps_loses_nothing(make_store, clock):
    """Forwards, a live process's lease seems to have run out; backwards, a dead one's goes on for long."""
    ours, theirs = make_store(), make_store()
    job = ours.add(new_job(rows=8))[0].id
    ours.claim("ours")
    clock.now += 10**6
    assert theirs.claim("theirs").fence == 2
    with pytest.raises(LeaseLost):
        ours.publish(job, 1, 0, 4, [one_file(0)])
    clock.now -= 2 * 10**6
    record = theirs.publish(job, 2, 0, 4, [one_file(0, 2)])
    assert record.seconds == 0 and record.rows_done == 4
    theirs.end_all_leases()
    assert ours.claim("ours").fence == 3
    assert ours.publish(job, 3, 4, 4, [one_file(4, 3)]).state == "done"


def test_the_end_of_a_job_is_told_until_it_is_taken(store, clock):
    done, quiet, cancelled = (store.add(new_job(rows=4, webhook=hook))[0].id for hook in ("a", None, "b"))
    for job in (done, quiet):
        store.publish(job, store.claim("process").fence, 0, 4, [])
    assert store.take_webhook(delay_after).id == done and store.take_webhook(delay_after) is None
    store.cancel(cancelled)
    assert store.take_webhook(delay_after).id == cancelled
    store.told(cancelled)
    tries = 1
    while (again := store.get(done).webhook_due) is not None:
        assert again - clock.now == pytest.approx(FIRST_DELAY * 2 ** (tries - 1), abs=0.1)
        clock.now = again
        assert store.take_webhook(delay_after).id == done and store.take_webhook(delay_after) is None
        tries += 1
    assert tries == MOST_TRIES


def test_many_at_once_share_jobs_without_taking_any_twice(make_store):
    stores: list[JobStore] = [make_store() for _ in range(4)]
    ids = {stores[0].add(new_job(rows=4))[0].id for _ in range(12)}
    done: list[str] = []

    def work(store: JobStore, name: str) -> None:
        while (job := store.claim(name)) is not None:
            store.publish(job.id, job.fence, 0, 4, [one_file(0)])
            done.append(job.id)

    threads = [threading.Thread(target=work, args=(store, str(index))) for index, store in enumerate(stores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == sorted(ids) and stores[0].counts() == {"done": 12}


def test_a_store_of_a_newer_version_is_refused(tmp_path):
    store = sqlite_store(tmp_path / "jobs.sqlite")
    with store._engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '999'"))
    store.close()
    with pytest.raises(StoreUnavailable, match="newer version"):
        sqlite_store(tmp_path / "jobs.sqlite")


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match=r"file/deeper is not writable \(Not a directory\)"):
        sqlite_store(tmp_path / "file" / "deeper" / "jobs.sqlite")


@pytest.mark.parametrize("address", ["postgresql://me:hunter2@host:abc/db", "postgresql://me:hunter2@[::1/db"])
def test_a_wrong_address_is_told_without_its_password(address):
    with pytest.raises(StoreUnavailable, match="its address is not such as") as error:
        postgres_store(address)
    assert "hunter2" not in str(error.value)


def test_a_store_is_in_its_own_folder_whatever_that_is_called(tmp_path):
    folder = tmp_path / "what?mode=memory#here%20"
    sqlite_store(folder / "jobs.sqlite").close()
    assert (folder / "jobs.sqlite").is_file() and list(tmp_path.iterdir()) == [folder]


def test_which_file_system_a_path_is_on(tmp_path):
    mounts = tmp_path / "mounts"
    mounts.write_text("/dev/a / ext4 rw 0 0\nhost:/b /data nfs4 rw 0 0\n/dev/c /data/local xfs rw 0 0\n")
    found = {path: file_system(Path(path), mounts) for path in ("/var", "/data/jobs", "/data/local/jobs", "/database")}
    assert list(found.values()) == ["ext4", "nfs4", "xfs", "ext4"]


def test_a_process_knows_whether_another_one_is_alive(tmp_path):
    alone = []

    def opened(name: str) -> int:
        return shared_lock(tmp_path / "lock", alone=lambda: alone.append(name))

    first, second = opened("first"), opened("second")
    assert alone == ["first"]
    os.close(first)
    third = opened("third")
    assert alone == ["first"], "the second one lives"
    for lock in (second, third):
        os.close(lock)
    os.close(opened("fourth"))
    assert alone == ["first", "fourth"]


def test_a_lock_is_let_go_where_the_store_cannot_be_written(tmp_path):
    def fails() -> None:
        raise sa.exc.OperationalError("UPDATE", None, OSError("the disk is full"))

    with pytest.raises(sa.exc.OperationalError):
        shared_lock(tmp_path / "lock", alone=fails)
    alone = []
    os.close(shared_lock(tmp_path / "lock", alone=lambda: alone.append(True)))
    assert alone == [True]


def test_batches_are_listed_apart_and_one_that_is_stopped_keeps_its_files(store):
    job, batch = store.add(new_job())[0].id, store.add(new_job(input_file="file-a", rows=8))[0].id
    assert job.startswith("job-") and batch.startswith("batch_")
    assert [one.id for one in store.listed("me", 9)] == [job]
    assert [one.id for one in store.listed("me", 9, batches=True)] == [batch]
    store.claim("process", besides=[job])
    store.publish(batch, 1, 0, 4, [one_file(0)], kept=3)
    assert store.output_sizes("me", ".npy") == {}
    assert store.stop(batch).state == store.stop(batch).state == "cancelled"
    assert len(store.files(batch)) == 1 and batch not in store.without_files()
    assert store.output_sizes("me", ".npy") == {batch: 100} and store.output_sizes("other", ".npy") == {}
    with pytest.raises(LeaseLost):
        store.publish(batch, 1, 4, 4, [])
    store.delete_files(batch, ".npy")
    assert store.files(batch) == [] and store.get(batch).bytes == 0


def test_an_upload_is_seen_when_it_is_complete_and_goes_with_age_unless_a_batch_reads_it(store, clock):
    sent = store.uploads
    for name in ("file-a", "file-b"):
        sent.add(name, "me", "asked.jsonl", "batch", 3, 100)
        assert sent.get(name, "me") is None
        sent.complete(name)
    assert sent.get("file-a", "other") is None and sent.get("file-a", "me").lines == 3
    assert [one.id for one in sent.listed("me")] == ["file-b", "file-a"] and kept_bytes(store) == 200
    batch = store.add(new_job(input_file="file-a"))[0].id
    clock.now += 50
    sent.expire(100)
    assert len(sent.listed("me")) == 2
    clock.now += 100
    sent.expire(100)
    assert [one.id for one in sent.listed("me")] == ["file-a"] and kept_bytes(store) == 100
    assert sent.without_content() == set(), "it may still be written"
    clock.now += WRITTEN_WITHIN + 1
    assert sent.without_content() == {"file-b"}
    store.stop(batch)
    sent.expire(100)
    sent.forget({"file-a", "file-b"})
    clock.now += FORGOTTEN_AFTER + 1
    sent.expire(100)
    assert sent.listed("me") == [] and sent.without_content() == {"file-a", "file-b"}
    sent.forget({"file-b"})
    assert sent.without_content() == {"file-a"}


def test_an_upload_that_was_broken_off_takes_no_bytes(store, clock):
    sent = store.uploads
    for name in ("file-a", "file-b"):
        sent.add(name, "me", "asked.jsonl", "batch", 3, 100)
    sent.delete("file-a")  # it could not be written
    assert kept_bytes(store) == 100
    sent.expire(10**6)
    assert kept_bytes(store) == 100, "it may still be written"
    clock.now += WRITTEN_WITHIN + 1
    sent.expire(10**6)
    assert kept_bytes(store) == 0 and sent.without_content() == {"file-a", "file-b"}
