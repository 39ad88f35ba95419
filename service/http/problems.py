"""Errors as RFC 9457 `application/problem+json`, with what to do in `detail`."""

import json
import sys
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match

from service.engine.job import (
    DeadlinePassed,
    EngineError,
    EngineFull,
    EngineStopped,
    JobTooLong,
    ModelNotLoaded,
    RateExceeded,
)

MEDIA_TYPE = "application/problem+json"
UNKEPT = {"Cache-Control": "no-store"}  # of what may be otherwise the next time
NO_OBJECT = ("model_attributes_type", "dict_type")  # as pydantic calls that error
SHOWN = 80  # characters of what was given that an answer repeats
NESTED = {"control", "init", "mask", "given", "variations_of"}  # the fields that have fields of their own
EXAMPLE_BODY = '{"dataset": "mnist", "label": 7}'
SHOWN_FIELDS = 10  # wrong fields that an answer lists


EXAMPLES: Mapping[int, str] = {
    401: "an API key is needed: send `Authorization: Bearer <key>`",
    403: "there is no API key, so anybody could ask for this: set one, or send the process SIGHUP",
    404: "there is no dataset 'cats'; there are: gaussian, mnist, spiral",
    406: "mnist comes as image/png, application/json, application/zip, …, not as video/mp4",
    408: "the body did not come within 30 s",
    410: "the job job-0123456789ab was deleted, or has expired, and its files with it; ask again with its `request`",
    413: "the body is larger than 2,097,152 bytes",
    415: "the body is text/plain, not JSON: send `Content-Type: application/json`",
    416: "part-00000.parquet has 1,048,576 bytes",
    422: "guidance_scale: 0 … 20. Input should be less than or equal to 20 (given: 21)",
    429: "this would wait 64 s for requests before it; try again in 4 s",
    500: "something failed in the service; its log has the X-Request-ID of this answer",
    503: "the engine is not ready; see /readyz",
    504: "not done within 120 s; ask for fewer samples or steps, or try again later",
}
"""By status, what a problem's `detail` may say."""


class InvalidField(BaseModel):
    field: str
    detail: str
    given: str | None = None


class ProblemBody(BaseModel):
    """RFC 9457."""

    type: str = "about:blank"
    title: str = Field(examples=["Unprocessable Content"])
    status: int
    detail: str = Field(description="What was wrong, and what to do.")
    errors: list[InvalidField] | None = Field(None, description="Field by field, where fields are the trouble.")


class Problem(Exception):
    """An answer that is an error."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        errors: list[InvalidField] | None = None,
    ):
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})
        self.errors = errors

    def body(self) -> dict[str, Any]:
        title = HTTPStatus(self.status).phrase
        body = ProblemBody(title=title, status=self.status, detail=self.detail, errors=self.errors)
        return body.model_dump(exclude_none=True)

    def response(self) -> Response:
        text = json.dumps(self.body(), ensure_ascii=False, separators=(",", ":"))
        return Response(
            text.encode("utf-8", "backslashreplace"),  # half a surrogate pair, repeated from the request, is \udXXX
            self.status,
            headers=UNKEPT | self.headers,
            media_type=MEDIA_TYPE,
        )


def invalid(field: str, detail: str, given: Any = None) -> Problem:
    """422 for one field: what it may be, and what was given."""
    return _invalid_fields([InvalidField(field=field, detail=detail, given=_shown(given))])


def _invalid_fields(fields: list[InvalidField]) -> Problem:
    told = [f"{one.field}: {one.detail}" + ("" if one.given is None else f" (given: {one.given})") for one in fields]
    return Problem(422, "; ".join(told), errors=fields)


def of_engine(error: EngineError) -> Problem:
    """What the engine refused or lost."""
    if isinstance(error, EngineFull):
        return Problem(
            429,
            f"this would wait {error.wait_seconds:.0f} s for requests before it; try again in {error.retry_after} s",
            headers={"Retry-After": str(error.retry_after)},
        )
    if isinstance(error, RateExceeded):
        return Problem(
            429,
            f"the key {error.key} may use {error.rate:g} device-seconds a minute, and this takes {error.seconds:.2g}; "
            f"try again in {error.retry_after} s",
            headers={"Retry-After": str(error.retry_after)},
        )
    if isinstance(error, JobTooLong):
        return Problem(422, f"this takes too long: {error}; ask for fewer samples or steps")
    if isinstance(error, DeadlinePassed):
        # Client libraries repeat a 504 at once unless they are told not to: the same work would be too much again.
        return Problem(
            504, f"{error}; ask for fewer samples or steps, or try again later", headers={"X-Should-Retry": "false"}
        )
    if isinstance(error, ModelNotLoaded):
        return Problem(503, str(error), headers={"Retry-After": str(error.retry_after)})
    if isinstance(error, EngineStopped):
        return Problem(503, f"{error}; see /readyz", headers={"Retry-After": "5"})
    return Problem(500, f"this request failed while sampling ({error}); others are not touched")


def unreadable(cause: BaseException) -> Problem:
    """A body that the framework could make nothing of, and what stopped it."""
    match cause:
        case UnicodeDecodeError(start=start):
            why = f"byte {start} is not {cause.encoding.upper()}; send JSON in UTF-8"
        case RecursionError():
            why = "its lists and objects are nested too deeply"
        case ValueError():
            why = f"a number has more than {sys.get_int_max_str_digits():,} digits"
        case _:
            why = "the service could not read it"
    return Problem(422, f"the body is not JSON: {why}")


def unexpected() -> Problem:
    """What nobody expected: the trace is in the log only."""
    return Problem(500, "something failed in the service; its log has the X-Request-ID of this answer")


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """These problems, for a route's OpenAPI entry."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {
                MEDIA_TYPE: {
                    "schema": {"$ref": "#/components/schemas/ProblemBody"},
                    "example": Problem(status, EXAMPLES[status]).body(),
                }
            },
        }
        for status in statuses
    }


FieldMeant = Callable[[str, str], str | None]
"""("body" or "query", a field that there is not) → the field that was meant, where that is known."""


def install(app: FastAPI, ranges: Callable[[], Mapping[str, str]], meant: Callable[[str], FieldMeant]) -> None:
    """Every error of the app, also the framework's own, becomes a problem.

    `ranges` says of a request's fields what they may be, as of now, where a type and one bound would not. `meant`
    knows what others call those at a path.
    """

    @app.exception_handler(Problem)
    async def problem(request: Request, error: Problem) -> Response:
        return error.response()

    @app.exception_handler(EngineError)
    async def engine(request: Request, error: EngineError) -> Response:
        return of_engine(error).response()

    @app.exception_handler(RequestValidationError)
    async def validation(request: Request, error: RequestValidationError) -> Response:
        return of_validation(error, ranges(), meant(request.url.path)).response()

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        if isinstance(error.__cause__, Problem):  # raised while the framework read the body
            return error.__cause__.response()
        path = request.url.path
        if error.status_code == 400 and error.__cause__ is not None:  # else its detail says what is wrong, of a form
            return unreadable(error.__cause__).response()
        if error.status_code == 404:
            if path.endswith("/") and _methods(request, path[:-1]):
                return _redirect(request)
            return Problem(404, f"there is no {path}; see /docs").response()
        if error.status_code == 405:
            allowed = ", ".join(_methods(request)) or (error.headers or {})["Allow"]  # a mounted folder names them
            detail = f"{request.method} is not for {path}; use {allowed}"
            return Problem(405, detail, headers={"Allow": allowed}).response()
        return Problem(error.status_code, str(error.detail), headers=error.headers).response()


def _methods(request: Request, path: str | None = None) -> list[str]:
    """Those of every route at this path; the framework names the first route's only. HEAD goes wherever GET does."""
    found: set[str] = set()
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
        scope = dict(request.scope, method=method, path=path or request.scope["path"])
        if any(route.matches(scope)[0] is Match.FULL for route in request.app.routes):
            found |= {method, "HEAD"} if method == "GET" else {method}
    return sorted(found)


def _redirect(request: Request) -> Response:
    """To the same path without the slash at its end. The target is relative, so that it holds behind any proxy and
    whatever Host the request names."""
    target = "../" + quote(request.url.path[:-1].rpartition("/")[2])
    query = request.scope["query_string"].decode("latin-1")
    return Response(status_code=307, headers={"Location": f"{target}?{query}" if query else target})


def of_validation(error: RequestValidationError, ranges: Mapping[str, str], meant: FieldMeant) -> Problem:
    """422, field by field; `ranges` as `install` has them, and `meant` as it has them of a path."""
    fields: dict[str, InvalidField] = {}
    for entry in error.errors():
        if entry["type"] == "json_invalid":
            sent, place = str(error.body), entry["loc"][-1]
            why = f"{entry['ctx']['error']} at character {place} of {_shortened(sent)}"
            return Problem(422, f"the body is not JSON: {why}; send an object such as {EXAMPLE_BODY}")
        # ("body", "label", "int") → label; a union's own branch names say nothing to a user
        field = ".".join(str(part) for part in entry["loc"][1 : 3 if set(entry["loc"][1:2]) & NESTED else 2]) or "body"
        if field not in fields and len(fields) == SHOWN_FIELDS:
            break
        if field == "body" and entry["type"] != "too_many_fields":
            detail = f"a JSON object is needed, such as {EXAMPLE_BODY}"
        elif entry["type"] == "extra_forbidden":
            known = meant(str(entry["loc"][0]), field)
            detail = "unknown field; " + (f"it is called {known} here" if known else "the fields are listed at /docs")
        elif entry["type"] == "missing":
            detail = f"needed: {ranges[field]}" if field in ranges else "needed"
        else:
            why = (
                "Input should be an object"
                if entry["type"] in NO_OBJECT
                else entry["msg"].removeprefix("Value error, ")
            )
            detail = f"{ranges[field]}. {why}" if field in ranges else why
        given = None if entry["type"] == "missing" else entry.get("input")  # there it is all the other fields
        wrong_type = entry["type"].endswith("_type")  # quotes then show that it is a text
        found = InvalidField(field=_shortened(field), detail=detail, given=_shown(given, quoted=wrong_type))
        same = fields.setdefault(field, found)
        if detail not in same.detail:
            same.detail += f"; or: {detail}"
    return _invalid_fields(list(fields.values()))


def _shown(given: object, *, quoted: bool = False) -> str | None:
    """A value as an error repeats it, in JSON; a text as it is, unless quoted. None for no value."""
    if given is None:
        return None
    plain = isinstance(given, str) and not quoted
    return _shortened(str(given) if plain else json.dumps(given, ensure_ascii=False, default=str))


def _shortened(text: str) -> str:
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"
