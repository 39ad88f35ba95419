"""A batch's lines as the models of now resolve them, and the lines of its answers."""

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model.noise import MAX_SEED
from service.checkpoints.catalog import Catalog
from service.engine.job import EngineStopped, Job, JobFailed, Samples
from service.http.openai_errors import openai_error, openai_status
from service.http.problems import Problem, of_engine
from service.jobs.batch_lines import LineError, WrongLines, check_lines, lines_of, parsed
from service.jobs.batch_specification import BatchSpecification
from service.jobs.chunk import OtherBytes, Written
from service.jobs.results import Results
from service.jobs.store_records import CONTENT
from service.requests.openai_images import MAX_N, ResolvedImages, read_images_request, resolve_images
from service.responses import representations

OUTPUT, ERRORS = ".output.jsonl", ".errors.jsonl"
"""How the names of a chunk's files end."""


@dataclass(frozen=True, eq=False)
class Line:
    """A line's request, or the problem that it is answered with."""

    custom_id: str
    asked: ResolvedImages | Problem


@dataclass(frozen=True, eq=False)
class BatchChunk:
    """`created` in seconds since 1970, of the batch: the same lines give the same bytes."""

    first: int
    lines: Sequence[Line]
    created: int

    @property
    def rows(self) -> int:
        return len(self.lines)

    @property
    def jobs(self) -> list[Job]:
        return [line.asked.resolved.job for line in self.lines if isinstance(line.asked, ResolvedImages)]

    @property
    def samples(self) -> Mapping[str, int]:
        found: Counter[str] = Counter()
        for line in self.lines:
            if isinstance(line.asked, ResolvedImages):
                found[line.asked.resolved.choice.request.dataset] += len(line.asked.resolved.job)
        return found

    def written(self, found: Sequence[Samples | JobFailed]) -> Written:
        """A line that fails is among the errors, and no other is touched."""
        output: list[bytes] = []
        errors: list[bytes] = []
        samples = iter(found)
        for number, line in enumerate(self.lines, start=self.first):
            answer = line.asked if isinstance(line.asked, Problem) else _body(line.asked, next(samples), self.created)
            status, body = _error(answer) if isinstance(answer, Problem) else (200, answer)
            record = {
                "id": f"batch_req_{number}",
                "custom_id": line.custom_id,
                "response": {"status_code": status, "request_id": f"line-{number}", "body": body},
                "error": None,
            }
            (output if status == 200 else errors).append(json.dumps(record).encode() + b"\n")
        files = {ending: b"".join(lines) for ending, lines in ((OUTPUT, output), (ERRORS, errors)) if lines}
        return Written(files, len(output))


@dataclass(frozen=True, eq=False)
class BatchTemplate:
    """`ready` are the keys of models that can be asked now."""

    catalog: Catalog
    ready: Collection[str]
    specification: BatchSpecification
    lines: Sequence[bytes]
    created: int

    @staticmethod
    def of(
        catalog: Catalog, ready: Collection[str], results: Results, specification: BatchSpecification, created: int
    ) -> "BatchTemplate":
        """It reads the input file. Raises WrongLines, OtherBytes where the file is gone, or OSError."""
        try:
            content = b"".join(results.read(specification.input_file, CONTENT, 0, None))
        except FileNotFoundError:
            gone = f"The input file {specification.input_file} was deleted."
            raise WrongLines([LineError(code="missing_input_file", message=gone, param="input_file_id")]) from None
        lines = list(lines_of(content))
        if len(lines) != specification.rows:
            raise OtherBytes("the input file changed")
        check_lines(lines)
        return BatchTemplate(catalog, ready, specification, lines, created)

    def chunk(self, first: int) -> BatchChunk:
        """The chunk that begins at that line. It looks at prompts: not for the event loop."""
        numbers = range(first, first + self.specification.rows_of(first))
        return BatchChunk(first, [self._line(number) for number in numbers], self.created)

    def _line(self, number: int) -> Line:
        fields = parsed(self.lines[number])
        try:
            body = read_images_request(fields["body"])
            if body.seed is None:
                seed = (self.specification.seed + number * MAX_N) & MAX_SEED
                body = body.model_copy(update={"seed": seed})
            asked = resolve_images(self.catalog, body, {"prompt": body.prompt})
            if asked.resolved.job.model not in self.ready:
                raise of_engine(EngineStopped(f"the model {asked.resolved.choice.name} is not ready"))
        except Problem as problem:
            return Line(fields["custom_id"], problem)
        return Line(fields["custom_id"], asked)


def _body(asked: ResolvedImages, samples: Samples | JobFailed, created: int) -> dict[str, Any] | Problem:
    if isinstance(samples, JobFailed):
        return of_engine(samples)
    data = asked.resolved.exact(samples.data)
    body: dict[str, Any] = json.loads(representations.openai_json(asked.resolved, data, asked.zoom, created))
    return body


def _error(problem: Problem) -> tuple[int, dict[str, Any]]:
    """The status and the body that the route answers with."""
    status = openai_status(problem.status)
    return status, openai_error(status, problem.body())
