"""A query string that gives one value twice: frameworks take the last, or the first, and say nothing."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, BeforeValidator

from service.requests.schemas import commas


def each_once(query: type[BaseModel]) -> Callable[[Request], Coroutine[Any, Any, None]]:
    """A dependency that refuses a field which stands there several times and is no list.

    query  the fields; those that `commas` reads are lists

    The dependency raises RequestValidationError.
    """
    single = {
        name
        for name, field in query.model_fields.items()
        if not any(isinstance(part, BeforeValidator) and part.func is commas for part in field.metadata)
    }

    async def refuse_repeated(request: Request) -> None:  # async: FastAPI gives other functions a thread each time
        given: dict[str, list[str]] = {}
        for name, value in request.query_params.multi_items():
            given.setdefault(name, []).append(value)
        if errors := [
            {"type": "repeated_field", "loc": ("query", name), "msg": "Given several times: give one", "input": values}
            for name, values in given.items()
            if len(values) > 1 and name in single
        ]:
            raise RequestValidationError(errors)

    return refuse_repeated
