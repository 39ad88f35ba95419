"""A query string that gives one value twice: frameworks take the last, or the first, and say nothing."""

from collections.abc import Callable

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, BeforeValidator

from service.requests.schemas import commas


def each_once(query: type[BaseModel]) -> Callable[[Request], None]:
    """A dependency that refuses a field which stands there several times and is no list.

    query  the fields; those that `commas` reads are lists

    The dependency raises RequestValidationError.
    """
    lists = {
        name
        for name, field in query.model_fields.items()
        if any(isinstance(part, BeforeValidator) and part.func is commas for part in field.metadata)
    }

    def refuse_repeated(request: Request) -> None:
        given = {name: request.query_params.getlist(name) for name in query.model_fields if name not in lists}
        if errors := [
            {"type": "repeated_field", "loc": ("query", name), "msg": "Given several times: give one", "input": values}
            for name, values in given.items()
            if len(values) > 1
        ]:
            raise RequestValidationError(errors)

    return refuse_repeated
