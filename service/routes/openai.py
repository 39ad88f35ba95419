"""OpenAI's images API over the same engine, for the clients that speak it."""

import time
from collections.abc import Callable, Coroutine, Mapping
from http import HTTPStatus
from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field

from service.http import preparation
from service.http.key_ring import caller_of
from service.http.lifecycle import CountedRoute, QuietRoute, counted, encoded, in_memory, while_connected
from service.http.openai_errors import openai_error
from service.http.problems import EXAMPLES, UNKEPT, of_validation
from service.requests.openai_images import (
    ImagesOptions,
    ImagesRequest,
    images_dataset,
    images_field_meant,
    images_model,
    prompted_models,
    resolve_images,
)
from service.requests.schemas import ranges
from service.responses import representations
from service.state import AppState, State

OWNER = "spirale"


class OpenAIRoute(QuietRoute):
    """A field that there is not is answered with what it is called in this API."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_all(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as error:
                raise of_validation(error, ranges(), images_field_meant) from error

        return handle_all


class OpenAISampleRoute(OpenAIRoute, CountedRoute):
    """Of samples, which are counted before their errors are translated."""


router = APIRouter(prefix="/v1", tags=["openai"], route_class=OpenAISampleRoute)


class ImageData(BaseModel):
    b64_json: str


class ImagesResponse(BaseModel):
    created: int = Field(description="Seconds since 1970.")
    data: list[ImageData]


class ErrorBody(BaseModel):
    message: str
    type: Literal["invalid_request_error", "server_error"]
    param: str | None = Field(None, description="The field that was wrong.")
    code: str | None = None


class ErrorResponse(BaseModel):
    error: ErrorBody


def documented_errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """These errors, in OpenAI's form, for a route's OpenAPI entry."""
    return {
        status: {
            "model": ErrorResponse,
            "description": HTTPStatus(status).phrase,
            "content": {"application/json": {"example": openai_error(status, EXAMPLE_PROBLEMS[status])}},
        }
        for status in statuses
    }


_WRONG_FIELD = {"detail": EXAMPLES[422], "errors": [{"field": "guidance_scale"}]}
_UNKNOWN_MODEL = {
    "detail": "there is no model 'dall-e-3' that understands prompts; there are: mnist-text-cfg",
    "errors": [{"field": "model"}],
}
EXAMPLE_PROBLEMS: Mapping[int, dict[str, Any]] = {
    **{status: {"detail": detail} for status, detail in EXAMPLES.items()},
    400: _WRONG_FIELD,
    404: _UNKNOWN_MODEL,
}
RESPONSES = {
    200: {
        "model": ImagesResponse,
        "headers": representations.HEADERS
        | {
            "X-Ignored-Fields": {
                "description": "The fields that were not honoured, or only in part; not there without any.",
                "schema": {"type": "string"},
            }
        },
    },
    **documented_errors(400, 401, 404, 408, 413, 415, 429, 500, 503, 504),
}


@router.post("/images/generations", response_class=Response, responses=RESPONSES)
async def generations(body: ImagesRequest, request: Request, state: AppState) -> Response:
    """Images of a prompt, as base64 PNGs."""
    with counted(images_dataset(state.catalog, body.model), state):
        return await answered(body, {"prompt": body.prompt}, request, state)


async def answered(body: ImagesOptions, asked: dict[str, Any], request: Request, state: State) -> Response:
    """The samples of `asked`, the fields of a sample request that `body` does not have under the same names. Whoever
    calls this counts it."""
    if "init" in asked:
        images = await while_connected(request, state.decoding.run(resolve_images, state.catalog, body, asked))
    else:
        images = resolve_images(state.catalog, body, asked)
    with await in_memory(request, images.resolved.choice.served, state):
        resolved = await preparation.made_ready(images.resolved, request, state)
        samples = await while_connected(request, state.engine.sample(resolved.job, caller_of(request).key))
    data, now = resolved.exact(samples.data), int(time.time())
    answer, _ = await encoded(state, representations.openai_json, resolved, data, images.zoom, now)
    headers = representations.headers(resolved)
    if images.ignored:
        headers["X-Ignored-Fields"] = ", ".join(images.ignored)
    return Response(answer, media_type="application/json", headers=headers)


@router.get("/models", responses=documented_errors(401))
async def models(response: Response, state: AppState) -> dict[str, Any]:
    """Those that understand prompts."""
    response.headers.update(UNKEPT)
    return {"object": "list", "data": [_described(name) for name in prompted_models(state.catalog)]}


@router.get("/models/{name}", responses=documented_errors(401, 404))
async def model(name: str, response: Response, state: AppState) -> dict[str, Any]:
    response.headers.update(UNKEPT)
    return _described(images_model(state.catalog, name))


def _described(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": OWNER}
