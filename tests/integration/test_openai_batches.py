"""OpenAI's files and batches, by its official client: what is answered, what fails, and what survives a restart."""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from model.checkpoints.base import save_checkpoint
from service.app import create_app
from service.engine.job import JobFailed
from service.jobs.batch_lines import lines_of
from service.jobs.results import FolderResults
from service.jobs.store_tables import jobs
from service.settings import Settings
from tests.integration.conftest import wait_until_ready
from tests.integration.test_openai import official
from tests.tiny import tiny_text_checkpoint
from tests.waiting import wait_for

ENDPOINT = "/v1/images/generations"


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> Path:
    folder, text = tmp_path_factory.mktemp("checkpoints"), tiny_text_checkpoint()
    save_checkpoint(folder / "text", text.config, text.network, text.text)
    return folder


@contextlib.contextmanager
def client_of(checkpoints: Path, folder: Path, key: str = "sesame", **settings) -> Iterator[TestClient]:
    app = create_app(Settings(checkpoints=checkpoints, device="cpu", api_key=key, jobs_dir=folder, **settings))
    with TestClient(app, raise_server_exceptions=False) as client:
        wait_until_ready(client)
        client.headers["Authorization"] = f"Bearer {key}"
        yield client


@pytest.fixture(autouse=True)
def short_chunks(monkeypatch):
    monkeypatch.setattr("service.jobs.live_batches.LINES_PER_FILE", 4)


@pytest.fixture(scope="module")
def client(checkpoints, tmp_path_factory):
    with client_of(checkpoints, tmp_path_factory.mktemp("jobs")) as client:
        yield client


def line(name: str, body: object, **other: object) -> dict:
    return {"custom_id": name, "method": "POST", "url": ENDPOINT, "body": body} | other


def uploaded(ai: openai.OpenAI, lines: list) -> str:
    content = "\n".join(one if isinstance(one, str) else json.dumps(one) for one in lines)
    return ai.files.create(file=("asked.jsonl", content.encode()), purpose="batch").id


def begun(ai: openai.OpenAI, lines: list, **options) -> openai.types.Batch:
    file = uploaded(ai, lines)
    return ai.batches.create(input_file_id=file, endpoint=ENDPOINT, completion_window="24h", **options)


def ended(ai: openai.OpenAI, lines: list, **options) -> openai.types.Batch:
    batch = begun(ai, lines, **options)
    wait_for(lambda: ai.batches.retrieve(batch.id).status not in ("validating", "in_progress"), every=0.02)
    return ai.batches.retrieve(batch.id)


def records(ai: openai.OpenAI, file: str) -> list[dict]:
    return [json.loads(one) for one in ai.files.content(file).read().splitlines()]


def test_each_line_is_answered_as_the_route_answers_it(client):
    ai = official(client)
    asked = [{"prompt": "thin 7", "seed": number, "steps": 2, "n": 1 + number % 2} for number in range(12)]
    asked[3] |= {"steps": 1000}
    asked[9] |= {"model": "dall-e-3"}
    asked[10] = {"propmt": "a typo"}
    batch = ended(ai, [line(f"ask-{number}", body) for number, body in enumerate(asked)], metadata={"mine": "yes"})
    assert (batch.status, batch.endpoint, batch.metadata) == ("completed", ENDPOINT, {"mine": "yes"})
    counts = batch.request_counts
    assert (counts.total, counts.completed, counts.failed) == (12, 9, 3) and batch.completed_at >= batch.created_at
    output, errors = records(ai, batch.output_file_id), records(ai, batch.error_file_id)
    assert [one["custom_id"] for one in errors] == ["ask-3", "ask-9", "ask-10"]
    assert [one["custom_id"] for one in output] == [f"ask-{n}" for n in range(12) if n not in (3, 9, 10)]
    assert len({one["id"] for one in output + errors}) == 12
    for one in output + errors:
        alone = client.post(ENDPOINT, json=asked[int(one["custom_id"].removeprefix("ask-"))])
        response = one["response"]
        assert (response["status_code"], one["error"]) == (alone.status_code, None)
        assert response["body"].get("data") == alone.json().get("data")
        assert response["body"].get("error") == alone.json().get("error")


def test_lines_without_a_seed_get_pictures_of_their_own(client):
    ai = official(client)
    batch = ended(ai, [line(str(number), {"prompt": "thin 7", "n": 10, "steps": 1}) for number in range(3)])
    pictures = [
        one["b64_json"] for record in records(ai, batch.output_file_id) for one in record["response"]["body"]["data"]
    ]
    assert len(set(pictures)) == 30


@pytest.mark.parametrize(
    ("lines", "code", "number"),
    [
        ([line("a", {}), "{"], "invalid_json_line", 2),
        ([line("a", {}), "[]"], "invalid_json_line", 2),
        ([line("a", {}), line("b", {}), line("a", {})], "duplicate_custom_id", 3),
        ([line("a", {}, url="/v1/chat/completions")], "mismatched_endpoint", 1),
        ([line("a", {}, method="GET")], "invalid_method", 1),
        ([{"custom_id": "a", "method": "POST", "url": ENDPOINT}], "missing_required_parameter", 1),
        ([line("", {})], "invalid_custom_id", 1),
        ([line(7, {})], "invalid_custom_id", 1),
        ([line("a", "thin 7")], "invalid_body", 1),
        ([line("a", {"prompt": "7" * 70_000})], "line_too_long", 1),
        (["[" * 50_000], "invalid_json_line", 1),
    ],
)
def test_a_file_of_wrong_lines_fails_the_batch_and_names_them(client, lines, code, number):
    ai = official(client)
    batch = ended(ai, lines)
    assert batch.status == "failed" and batch.failed_at and batch.output_file_id is batch.error_file_id is None
    (error,) = batch.errors.data
    assert (error.code, error.line) == (code, number) and error.message


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"input_file_id": "file-none"}, "input_file_id"),
        ({"endpoint": "/v1/chat/completions"}, "endpoint"),
        ({"completion_window": "1h"}, "completion_window"),
        ({"metadata": {"a": "b" * 513}}, "metadata"),
        ({"metadata": {"a" * 65: "b"}}, "metadata"),
        ({"metadata": {"a": "\ud800"}}, "metadata"),
        ({"metadata": {"\ud800": "b"}}, "metadata"),
        ({"output_expires_after": {"anchor": "\ud800"}}, "output_expires_after"),
        ({"other": 1}, "other"),
    ],
)
def test_a_batch_that_cannot_be_is_refused(client, change, param):
    file = uploaded(official(client), [line("a", {"prompt": "thin 7"})])
    body = {"input_file_id": file, "endpoint": ENDPOINT, "completion_window": "24h"} | change
    answer = client.post("/v1/batches", content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert answer.status_code == 400 and answer.json()["error"]["type"] == "invalid_request_error"
    assert answer.json()["error"]["param"] == param


def test_an_upload_that_cannot_be_is_refused(client):
    ai = official(client)
    with pytest.raises(openai.BadRequestError, match="purpose: batch"):
        ai.files.create(file=("a.jsonl", b"{}"), purpose="fine-tune")
    answer = client.post("/v1/files", files={"other": b"{}"}, data={"purpose": "batch"})
    assert answer.status_code == 400 and answer.json()["error"]["param"] == "file"
    answer = client.post("/v1/files", content=b"x", headers={"Content-Type": "multipart/form-data"})
    assert answer.status_code == 400 and answer.json()["error"]["message"] == "Missing boundary in multipart."
    with pytest.raises(openai.BadRequestError, match="this one has 0"):
        begun(ai, ["", "  "])
    with pytest.raises(openai.APIStatusError, match="larger than 33,554,432 bytes"):
        ai.files.create(file=("a.jsonl", b" " * (32 * 2**20)), purpose="batch")


def test_files_are_listed_shown_and_deleted(client):
    ai = official(client)
    batch = ended(ai, [line("a", {"prompt": "thin 7", "steps": 1}), line("b", {})])
    content = ai.files.content(batch.input_file_id).read()
    assert json.loads(content.splitlines()[0])["custom_id"] == "a"
    found = {one.id: one for one in ai.files.list()}
    assert {batch.input_file_id, batch.output_file_id, batch.error_file_id} <= set(found)
    for file, purpose in ((batch.input_file_id, "batch"), (batch.output_file_id, "batch_output")):
        one = ai.files.retrieve(file)
        assert one == found[file] and (one.purpose, one.bytes) == (purpose, len(ai.files.content(file).read()))
    outputs = [one.id for one in ai.files.list(purpose="batch_output", limit=1, order="asc")]  # page by page
    assert set(outputs) == {one.id for one in found.values() if one.purpose == "batch_output"}
    for file in (batch.input_file_id, batch.output_file_id):
        assert ai.files.delete(file).deleted
        with pytest.raises(openai.NotFoundError, match="there is no file"):
            ai.files.content(file)
    assert records(ai, batch.error_file_id)[0]["custom_id"] == "b"
    assert batch.input_file_id not in {one.id for one in ai.files.list()}
    with pytest.raises(openai.NotFoundError):
        ai.files.retrieve("file-../../etc/passwd")


def test_the_head_of_a_file_opens_none(client, monkeypatch):
    ai = official(client)
    batch = ended(ai, [line("a", {"prompt": "thin 7", "steps": 1})])
    sizes = {file: len(ai.files.content(file).read()) for file in (batch.input_file_id, batch.output_file_id)}

    def opened(*_):
        raise AssertionError("nobody reads it")

    monkeypatch.setattr(FolderResults, "read", opened)
    for file, size in sizes.items():
        head = client.head(f"/v1/files/{file}/content")
        assert (head.status_code, head.content, head.headers["Content-Length"]) == (200, b"", str(size))


def test_what_asks_for_no_samples_is_counted_among_none(client):
    def counted() -> list[str]:
        return [line for line in client.get("/metrics").text.splitlines() if line.startswith("spirale_requests_total{")]

    before = counted()
    assert [client.get(f"/v1/{what}?limit=0").status_code for what in ("files", "batches")] == [400, 400]
    assert client.post("/v1/batches", json={}).status_code == 400
    assert counted() == before


def test_batches_are_listed_page_by_page_and_are_no_data_sets(client):
    ai = official(client)
    ids = [begun(ai, [line("a", {"prompt": "thin 7", "steps": 1})]).id for _ in range(3)]
    assert [one.id for one, _ in zip(ai.batches.list(limit=2), range(3), strict=False)] == ids[::-1]
    assert client.get(f"/jobs/{ids[0]}").status_code == 404
    assert not set(ids) & {one["id"] for one in client.get("/jobs").json()["jobs"]}
    with pytest.raises(openai.NotFoundError, match="there is no batch"):
        ai.batches.retrieve("batch_none")
    assert client.get("/v1/batches?after=%00").status_code == 400  # no database is asked for it


def test_a_batch_that_another_version_wrote_otherwise_is_still_answered(client):
    ai = official(client)
    batch = ended(ai, [line("a", {"prompt": "thin 7", "steps": 1})], metadata={"mine": "yes"})
    with client.app.state.spirale.jobs._live.store._engine.begin() as connection:
        connection.execute(sa.update(jobs).where(jobs.c.id == batch.id).values(specification='{"later": 1}'))
    expected = batch.model_copy(update={"metadata": None})
    assert ai.batches.retrieve(batch.id) == ai.batches.list(limit=1).data[0] == expected


def test_lines_are_not_counted_on_the_event_loop(client, monkeypatch):
    def beside_the_loop(content):
        with pytest.raises(RuntimeError, match="no running event loop"):
            asyncio.get_running_loop()
        return lines_of(content)

    monkeypatch.setattr("service.jobs.live_batches.lines_of", beside_the_loop)
    ai = official(client)
    with pytest.raises(openai.BadRequestError, match="this one has 0"):
        begun(ai, ["", " ", "\t"])


def test_the_same_key_is_the_same_batch(client):
    ai = official(client)
    file = uploaded(ai, [line("a", {"prompt": "thin 7", "steps": 1})])
    asked = dict(input_file_id=file, endpoint=ENDPOINT, completion_window="24h")
    first = ai.batches.create(**asked, extra_headers={"Idempotency-Key": "k"})
    assert ai.batches.create(**asked).id != first.id
    ai.files.delete(file)
    assert ai.batches.create(**asked, extra_headers={"Idempotency-Key": "k"}).id == first.id
    with pytest.raises(openai.BadRequestError, match="another body"):
        ai.batches.create(**asked, metadata={"a": "b"}, extra_headers={"Idempotency-Key": "k"})


def test_a_batch_that_is_cancelled_keeps_what_it_has_answered(client):
    ai = official(client)
    batch = begun(ai, [line(str(n), {"prompt": "thin 7", "n": 4, "steps": 50}) for n in range(200)])
    wait_for(lambda: ai.batches.retrieve(batch.id).request_counts.completed, every=0.02)
    with pytest.raises(openai.NotFoundError):  # not before it has ended
        ai.files.content(f"file-{batch.id.removeprefix('batch_')}-output")
    stopped = ai.batches.cancel(batch.id)
    assert stopped.status == "cancelled" and stopped.cancelled_at and stopped.error_file_id is None
    answered = records(ai, stopped.output_file_id)
    assert [one["custom_id"] for one in answered] == [str(n) for n in range(stopped.request_counts.completed)]
    wait_for(lambda: not client.app.state.spirale.engine._workers[0]._tickets, every=0.01)
    with pytest.raises(openai.BadRequestError, match="this one is cancelled"):
        ai.batches.cancel(batch.id)


def test_a_line_that_fails_while_sampling_fails_alone(client, monkeypatch):
    engine = client.app.state.spirale.engine
    result = engine.result

    async def some_fail(ticket):
        found = await result(ticket)
        if ticket.job.seeds[0] == 1:
            raise JobFailed("a value was not finite")
        return found

    monkeypatch.setattr(engine, "result", some_fail)
    ai = official(client)
    batch = ended(ai, [line(str(n), {"prompt": "thin 7", "seed": n, "steps": 1}) for n in range(3)])
    assert [one["custom_id"] for one in records(ai, batch.output_file_id)] == ["0", "2"]
    (failed,) = records(ai, batch.error_file_id)
    assert failed["response"]["status_code"] == 500 and failed["response"]["body"]["error"]["type"] == "server_error"


def test_batches_and_files_are_only_their_keys_own(client, checkpoints):
    ai = official(client)
    batch = ended(ai, [line("a", {"prompt": "thin 7", "steps": 1})])
    folder = client.app.state.spirale.jobs.options.jobs_dir
    with client_of(checkpoints, folder, key="other") as theirs:
        other = official(theirs, key="other")
        for ask in (
            lambda: other.batches.retrieve(batch.id),
            lambda: other.batches.cancel(batch.id),
            lambda: other.files.retrieve(batch.input_file_id),
            lambda: other.files.content(batch.output_file_id),
            lambda: other.files.delete(batch.output_file_id),
        ):
            with pytest.raises(openai.NotFoundError):
                ask()
        assert list(other.batches.list()) == list(other.files.list()) == []
        with pytest.raises(openai.BadRequestError, match="input_file_id"):
            other.batches.create(input_file_id=batch.input_file_id, endpoint=ENDPOINT, completion_window="24h")


def test_a_batch_goes_on_after_a_restart_and_gives_the_bytes_of_one_that_was_not_disturbed(checkpoints, tmp_path):
    lines = [line(str(n), {"prompt": "thin 7", "steps": 10, "seed": n}) for n in range(40)]
    lines[30]["body"]["steps"] = 0
    with client_of(checkpoints, tmp_path) as client:
        ai = official(client)
        batch = begun(ai, lines)
        wait_for(lambda: ai.batches.retrieve(batch.id).request_counts.completed, every=0.01)
        assert ai.batches.retrieve(batch.id).status == "in_progress"
    with client_of(checkpoints, tmp_path) as client:
        ai = official(client)
        wait_for(lambda: ai.batches.retrieve(batch.id).status == "completed", every=0.02)
        batch = ai.batches.retrieve(batch.id)
        whole = ended(ai, lines)
        for resumed, undisturbed in (
            (batch.output_file_id, whole.output_file_id), (batch.error_file_id, whole.error_file_id)
        ):  # fmt: skip
            found = [records(ai, file) for file in (resumed, undisturbed)]
            for one in found[0] + found[1]:
                one["response"]["body"].pop("created", None)
            assert found[0] == found[1]
        assert [one["custom_id"] for one in records(ai, batch.output_file_id)] == [str(n) for n in range(40) if n != 30]


def test_uploads_count_for_the_bytes_that_are_kept(checkpoints, tmp_path):
    with client_of(checkpoints, tmp_path, jobs_keep_bytes=1000) as client:
        ai = official(client, max_retries=0)
        file = ai.files.create(file=("a.jsonl", b"x" * 700), purpose="batch")
        assert file.expires_at == file.created_at + 7 * 86400
        with pytest.raises(openai.InternalServerError, match="--jobs-keep-bytes 1,000"):
            ai.files.create(file=("a.jsonl", b"x" * 700), purpose="batch")
        ai.files.delete(file.id)
        assert not (tmp_path / "jobs" / file.id).exists()
        ai.files.create(file=("a.jsonl", b"x" * 700), purpose="batch")


def test_an_upload_that_cannot_fit_costs_nobody_a_finished_job(checkpoints, tmp_path):
    with client_of(checkpoints, tmp_path, jobs_keep_bytes=20_000) as client:
        ai = official(client, max_retries=0)
        batch = ended(ai, [line("a", {"prompt": "thin 7", "steps": 1})])
        with pytest.raises(openai.InternalServerError, match="--jobs-keep-bytes 20,000"):
            ai.files.create(file=("a.jsonl", b"x" * 20_000), purpose="batch")
        assert ai.batches.retrieve(batch.id).status == "completed" and records(ai, batch.output_file_id)
        ai.files.create(file=("a.jsonl", b"x" * 19_500), purpose="batch")
        with pytest.raises(openai.NotFoundError):
            ai.batches.retrieve(batch.id)


def test_a_file_that_cannot_be_written_leaves_nothing(client, monkeypatch):
    def full(self, job, name, content):
        raise OSError(28, "No space left on device")

    ai = official(client, max_retries=0)
    before = list(ai.files.list())
    monkeypatch.setattr(FolderResults, "put", full)
    with pytest.raises(openai.InternalServerError, match="No space left on device"):
        ai.files.create(file=("a.jsonl", b"x"), purpose="batch")
    assert list(ai.files.list()) == before


def test_from_another_page_an_upload_needs_its_key(client):
    answer = client.post(
        "/v1/files", files={"file": b"{}"}, headers={"Origin": "https://b.example", "Authorization": ""}
    )
    assert answer.status_code == 401
