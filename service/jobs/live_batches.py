"""Uploads and batches over the jobs of a service: what the routes of OpenAI's API ask."""

import asyncio
import contextlib
import hashlib
import re
import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, NoReturn

from model.noise import MAX_SEED
from service.http.problems import InvalidField, Problem, invalid
from service.jobs.batch_answers import BatchRequest, FileAnswer, output_answer, upload_answer
from service.jobs.batch_lines import MAX_LINES, lines_of
from service.jobs.batch_specification import BatchSpecification
from service.jobs.batch_template import ERRORS, OUTPUT
from service.jobs.job_options import JobOptions
from service.jobs.store_records import CONTENT, UNFINISHED, JobRecord, NewJob, StoredFile

if TYPE_CHECKING:  # it comes with SQLAlchemy
    from service.jobs.live_jobs import LiveJobs

BATCH_ID = re.compile(r"batch_[0-9a-f]{24}")
UPLOAD_ID = re.compile(r"file-[0-9a-f]{24}")
OUTPUT_ID = re.compile(r"file-([0-9a-f]{24})-(output|errors)")
ENDINGS = {"output": OUTPUT, "errors": ERRORS}
LINES_PER_FILE = 32  # some seconds' work
MOST_UPLOADS = 1000  # of one owner


class LiveBatches:
    """Methods raise Problem: 404 for what is not there, 503 where the store does not answer."""

    def __init__(self, live: "LiveJobs", options: JobOptions, owner: str):
        """`owner`: whose files and batches these are."""
        self._live, self._options, self._owner = live, options, owner

    async def upload(self, name: str, content: bytes) -> FileAnswer:
        """Keep a file. Raises Problem (429, 503) where there is no room."""
        live, store, upload = self._live, self._live.store, f"file-{secrets.token_hex(12)}"
        if len(await live.ask(store.uploads.listed, self._owner)) >= MOST_UPLOADS:
            raise Problem(429, f"{MOST_UPLOADS:,} files are kept; delete some", headers={"Retry-After": "60"})
        keep_seconds, keep_bytes = self._options.keep_seconds, self._options.keep_bytes
        if await live.ask(store.make_room, len(content), keep_seconds, keep_bytes) is None:
            raise Problem(503, f"all files would take more than --jobs-keep-bytes {keep_bytes:,}")
        lines = await asyncio.to_thread(lambda: sum(1 for _ in lines_of(content)))
        made = await live.ask(store.uploads.add, upload, self._owner, name, "batch", lines, len(content))
        try:
            await asyncio.to_thread(live.results.put, upload, CONTENT, content)
        except OSError as error:
            await live.ask(store.uploads.delete, upload)
            raise Problem(503, f"the file cannot be written: {error.strerror or error}") from error
        await live.ask(store.uploads.complete, upload)
        return upload_answer(made, keep_seconds)

    async def files(self) -> list[FileAnswer]:
        """Uploads, and what batches that have ended answered; the newest first."""
        live, keep = self._live, self._options.keep_seconds
        found = [upload_answer(one, keep) for one in await live.ask(live.store.uploads.listed, self._owner)]
        batches = {one.id: one for one in await live.ask(live.store.listed, self._owner, None, batches=True)}
        for kind, ending in ENDINGS.items():
            sizes = await live.ask(live.store.output_sizes, self._owner, ending)
            found += [output_answer(batches[job], kind, size, keep) for job, size in sizes.items() if job in batches]
        return sorted(found, key=lambda one: (one.created_at, one.id), reverse=True)

    async def file(self, file: str) -> FileAnswer:
        if UPLOAD_ID.fullmatch(file):
            upload = await self._live.ask(self._live.store.uploads.get, file, self._owner)
            if upload is not None:
                return upload_answer(upload, self._options.keep_seconds)
        elif (named := OUTPUT_ID.fullmatch(file)) is not None:
            record, stored = await self._output(file, named[1], named[2])
            return output_answer(record, named[2], sum(one.bytes for one in stored), self._options.keep_seconds)
        _missing("file", file)

    async def content(self, file: str) -> tuple[FileAnswer, Iterator[bytes]]:
        """The file, and its bytes piece by piece: not to be read on the event loop."""
        answer, results = await self.file(file), self._live.results
        named = OUTPUT_ID.fullmatch(file)
        if named is None:
            try:
                return answer, await asyncio.to_thread(results.read, file, CONTENT, 0, None)
            except OSError as error:
                raise Problem(503, f"{file} cannot be read: {error.strerror or error}") from error
        record, stored = await self._output(file, named[1], named[2])
        pieces = (piece for one in stored for piece in results.read(record.id, one.stored, 0, one.bytes))
        return answer, pieces

    async def delete_file(self, file: str) -> None:
        await self.file(file)
        live = self._live
        if (named := OUTPUT_ID.fullmatch(file)) is None:
            await live.ask(live.store.uploads.delete, file)
            with contextlib.suppress(OSError):  # upkeep tries again
                await asyncio.to_thread(live.results.remove, file)
            return
        batch = f"batch_{named[1]}"
        await live.ask(live.store.delete_files, batch, ENDINGS[named[2]])
        await self._remove_unknown(batch)

    async def begin(self, body: BatchRequest, idempotency_key: str | None) -> JobRecord:
        """Raises Problem (422) for a file without lines, or with too many."""
        body_hash = hashlib.sha256(body.model_dump_json().encode()).hexdigest()
        if (known := await self._live.known(self._owner, idempotency_key, body_hash)) is not None:
            return known
        upload = None
        if UPLOAD_ID.fullmatch(body.input_file_id):
            upload = await self._live.ask(self._live.store.uploads.get, body.input_file_id, self._owner)
        if upload is None:
            raise invalid("input_file_id", "a file that was uploaded with the purpose `batch`", body.input_file_id)
        if not 1 <= upload.lines <= MAX_LINES:
            raise invalid("input_file_id", f"a file of 1 … {MAX_LINES:,} lines; this one has {upload.lines:,}")
        specification = BatchSpecification(
            rows=upload.lines,
            rows_per_file=LINES_PER_FILE,
            input_file=upload.id,
            endpoint=body.endpoint,
            seed=secrets.randbelow(MAX_SEED),
            metadata=body.metadata,
        )
        new = NewJob(
            owner=self._owner,
            idempotency_key=idempotency_key,
            body_hash=body_hash,
            specification=specification.model_dump_json(),
            rows=specification.rows,
            rows_per_file=specification.rows_per_file,
            webhook=None,
            input_file=upload.id,
        )
        return await self._live.submit(new)

    async def batch(self, batch: str) -> JobRecord:
        record = None
        if BATCH_ID.fullmatch(batch):
            record = await self._live.ask(self._live.store.get, batch, self._owner)
        if record is None or record.expired is not None:
            _missing("batch", batch)
        return record

    async def batches(self, limit: int, after: str | None) -> list[JobRecord]:
        """The newest first; `after`: those that are older than that one."""
        return await self._live.ask(self._live.store.listed, self._owner, limit, after, batches=True)

    async def cancel(self, batch: str) -> JobRecord:
        """End it; what it has answered so far is kept. Raises Problem (422) where it has ended."""
        record = await self.batch(batch)
        if record.state not in UNFINISHED:
            raise invalid("id", f"a batch that goes on; this one is {record.state}", batch)
        self._live.drop(batch)
        stopped = await self._live.ask(self._live.store.stop, batch)
        await self._remove_unknown(batch)
        return stopped

    async def _output(
        self, file: str, batch: str, kind: Literal["output", "errors"] | str
    ) -> tuple[JobRecord, list[StoredFile]]:
        """The batch that has ended, and its files of that kind."""
        job = f"batch_{batch}"
        record = await self._live.ask(self._live.store.get, job, self._owner)
        if record is not None and record.finished is not None and record.expired is None:
            stored = await self._live.ask(self._live.store.files, job)
            if found := [one for one in stored if one.name.endswith(ENDINGS[kind])]:
                return record, found
        _missing("file", file)

    async def _remove_unknown(self, batch: str) -> None:
        """Delete files of a batch that the store does not list."""
        known = {one.stored for one in await self._live.ask(self._live.store.files, batch)}
        with contextlib.suppress(OSError):
            await asyncio.to_thread(self._live.results.remove, batch, known.__contains__)


def _missing(kind: str, name: str) -> NoReturn:
    detail = f"there is no {kind} {name[:80]!r}; GET /v1/{kind}{'es' if kind == 'batch' else 's'} lists those there are"
    raise Problem(404, detail, errors=[InvalidField(field="id", detail=detail)])
