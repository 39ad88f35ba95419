"""The lines of a batch's input file: what each is to have, and what is wrong with those that have it not."""

import io
import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

ENDPOINT = "/v1/images/generations"
MAX_LINES = 50_000
MAX_LINE = 65_536  # bytes: a prompt is short
MAX_ERRORS = 100  # that are told


class LineError(BaseModel):
    code: str
    message: str
    param: str | None = None
    line: int | None = None


class BatchErrors(BaseModel):
    """As OpenAI's batch has them."""

    object: str = "list"
    data: list[LineError]


class WrongLines(Exception):
    """A batch that is not begun. As text it is `BatchErrors` in JSON."""

    def __init__(self, errors: list[LineError]):
        super().__init__(BatchErrors(data=errors).model_dump_json())


def lines_of(content: bytes) -> Iterator[bytes]:
    """Those that are not empty. Not for the event loop: there may be millions."""
    return (line.removesuffix(b"\n") for line in io.BytesIO(content) if line.strip())


def check_lines(lines: list[bytes]) -> None:
    """Are they requests of a batch, each with a name of its own? Their bodies are not looked at: one that is wrong is
    answered with its error.

    Raises WrongLines.
    """
    errors: list[LineError] = []
    known: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        error = _wrong(line) or _same(parsed(line)["custom_id"], known, number)
        if error is not None:
            errors.append(error.model_copy(update={"line": number}))
            if len(errors) == MAX_ERRORS:
                break
    if errors:
        raise WrongLines(errors)


def parsed(line: bytes) -> dict[str, Any]:
    """Of a line that was checked."""
    found: dict[str, Any] = json.loads(line)
    return found


def _wrong(line: bytes) -> LineError | None:
    """The first thing; its number is not filled in."""
    if len(line) > MAX_LINE:
        return LineError(code="line_too_long", message=f"A line has at most {MAX_LINE:,} bytes.")
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return LineError(code="invalid_json_line", message="This line is not parseable as valid JSON.")
    if not isinstance(fields, dict):
        return LineError(code="invalid_json_line", message="This line is no JSON object.")
    for name in ("custom_id", "method", "url", "body"):
        if name not in fields:
            return LineError(code="missing_required_parameter", message=f"{name!r} is missing.", param=name)
    if not isinstance(fields["custom_id"], str) or not fields["custom_id"]:
        return LineError(code="invalid_custom_id", message="'custom_id' is a string, and not empty.", param="custom_id")
    if fields["method"] != "POST":
        return LineError(code="invalid_method", message="'method' is POST.", param="method")
    if fields["url"] != ENDPOINT:
        message = f"'url' is the batch's endpoint, {ENDPOINT}."
        return LineError(code="mismatched_endpoint", message=message, param="url")
    if not isinstance(fields["body"], dict):
        return LineError(code="invalid_body", message="'body' is a JSON object.", param="body")
    return None


def _same(name: str, known: dict[str, int], number: int) -> LineError | None:
    first = known.setdefault(name, number)
    if first == number:
        return None
    message = f"The line {first} has the same 'custom_id'."
    return LineError(code="duplicate_custom_id", message=message, param="custom_id")
