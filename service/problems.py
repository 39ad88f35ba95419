"""Errors as RFC 9457 `application/problem+json`, with what to do in `detail`."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from service.engine.job import DeadlinePassed, EngineError, EngineFull, EngineStopped

SHOWN = 80  # characters of what was given that an answer repeats


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

    def response(self) -> JSONResponse:
        return JSONResponse(
            self.body(),
            self.status,
            headers=self.headers,
            media_type="application/problem+json",
        )


def invalid(field: str, detail: str, given: Any = None) -> Problem:
    """422 for one field: what it may be, and what was given."""
    return Problem(422, f"{field}: {detail}", errors=[InvalidField(field=field, detail=detail, given=_shown(given))])


def of_engine(error: EngineError) -> Problem:
    """What the engine refused or lost."""
    if isinstance(error, EngineFull):
        return Problem(
            429,
            f"the queue is full ({error.queued_seconds:.0f} s of work); try again in {error.retry_after} s",
            headers={"Retry-After": str(error.retry_after)},
        )
    if isinstance(error, DeadlinePassed):
        return Problem(504, f"{error}; ask for fewer samples or steps, or try again later")
    if isinstance(error, EngineStopped):
        return Problem(503, f"{error}; see /readyz", headers={"Retry-After": "5"})
    return Problem(500, f"this request failed while sampling ({error}); others are not touched")


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """These problems, for a route's OpenAPI entry."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemBody"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def install(app: FastAPI) -> None:
    """Every error of the app, also the framework's own, becomes a problem, in OpenAPI too."""
    without_problems = app.openapi

    def openapi() -> dict[str, Any]:
        schema = without_problems()
        definition = ProblemBody.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas = schema.setdefault("components", {}).setdefault("schemas", {})
        schemas |= definition.pop("$defs", {}) | {"ProblemBody": definition}
        return schema

    app.openapi = openapi  # type: ignore[method-assign] (the framework's own way to extend it)

    @app.exception_handler(Problem)
    async def problem(request: Request, error: Problem) -> JSONResponse:
        return error.response()

    @app.exception_handler(EngineError)
    async def engine(request: Request, error: EngineError) -> JSONResponse:
        return of_engine(error).response()

    @app.exception_handler(RequestValidationError)
    async def validation(request: Request, error: RequestValidationError) -> JSONResponse:
        return _from_validation(request, error).response()

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        if isinstance(error.__cause__, Problem):  # raised while the framework read the body
            return error.__cause__.response()
        detail = str(error.detail)
        if error.status_code == 404:
            detail = f"there is no {request.url.path}; see /docs"
        elif error.status_code == 405:
            detail = f"{request.method} is not for {request.url.path}; see /docs"
        return Problem(error.status_code, detail, headers=error.headers).response()


def _from_validation(request: Request, error: RequestValidationError) -> Problem:
    fields = []
    for entry in error.errors():
        if entry["type"] == "json_invalid":
            return Problem(422, f"the body is not JSON: {entry['ctx']['error']} at character {entry['loc'][-1]}")
        # ("body", "label", "int") → label; a union's own branch names say nothing to a user
        path = [str(part) for part in entry["loc"][1:2]]
        field = path[0] if path else "body"
        if field == "body":
            detail = "a JSON object is needed, such as " + json.dumps({"dataset": "mnist", "label": 7})
        elif entry["type"] == "extra_forbidden":
            detail = "unknown field; the fields are listed at /docs"
        else:
            detail = entry["msg"]
        found = InvalidField(field=field, detail=detail, given=_shown(entry.get("input")))
        same = next((other for other in fields if other.field == field), None)
        if same is None:
            fields.append(found)
        elif detail not in same.detail:
            same.detail += f"; or: {detail}"
    return Problem(422, "; ".join(f"{entry.field}: {entry.detail}" for entry in fields), errors=fields)


def _shown(given: Any) -> str | None:
    if given is None:
        return None
    text = given if isinstance(given, str) else repr(given)
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"
