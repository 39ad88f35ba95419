"""OpenAI's images API over the same engine, for the clients that speak it."""

import json
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from model.noise import MAX_SEED
from service.checkpoints.catalog import Catalog
from service.engine.job import EngineError
from service.http.lifecycle import CountedRoute, counted, encoded, while_connected
from service.http.problems import Problem, documented, invalid, of_engine, of_validation, unreadable
from service.requests.field_names import field_meant
from service.requests.model_choice import models_with_prompts
from service.requests.resolve import resolve
from service.requests.schemas import MAX_PROMPT, SampleRequest, ranges
from service.responses import representations
from service.state import AppState

MAX_N = 10
MAX_SIDE = 1024  # pixels of a picture
OWNER = "spirale"


class _OpenAIRoute(CountedRoute):
    """Errors in OpenAI's form: what a client library reads."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_all(request: Request) -> Response:
            try:
                return await handle(request)
            except Problem as problem:
                return _error(problem)
            except EngineError as error:
                return _error(of_engine(error))
            except RequestValidationError as error:
                return _error(of_validation(error, ranges(), _field_meant))
            except HTTPException as error:
                # Raised while the framework read the body: by what stands before it, or by its own parser.
                return _error(error.__cause__ if isinstance(error.__cause__, Problem) else unreadable())

        return handle_all


router = APIRouter(prefix="/v1", tags=["openai"], route_class=_OpenAIRoute)


class ImagesRequest(BaseModel):
    """The fields of OpenAI's images API that mean something here, and three of our own: seed, steps, guidance_scale."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [{"prompt": "bold 3"}]})

    prompt: str = Field(min_length=1, max_length=MAX_PROMPT)
    model: str | None = Field(None, max_length=64, description="One of those at /v1/models. Default: the first.")
    n: int | None = Field(None, ge=1, le=MAX_N)
    size: str | None = Field(
        None, description="`auto`, or a whole multiple of the model's own size, such as 112x112: pixels are enlarged."
    )
    response_format: Literal["b64_json", "url"] | None = Field(None, description="b64_json only.")
    user: str | None = Field(None, max_length=256, description="Not looked at.")
    seed: int | None = Field(None, ge=0, le=MAX_SEED)
    steps: int | None = None
    guidance_scale: float | None = Field(None, ge=0, le=20, allow_inf_nan=False)


class ImageData(BaseModel):
    b64_json: str


class ImagesResponse(BaseModel):
    created: int = Field(description="Seconds since 1970.")
    data: list[ImageData]


class ErrorBody(BaseModel):
    message: str
    type: Literal["invalid_request_error", "server_error"]
    param: str | None = Field(description="The field that was wrong.")
    code: str | None


class ErrorResponse(BaseModel):
    error: ErrorBody


def _documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """These errors, in OpenAI's form, for a route's OpenAPI entry."""
    return {status: {"model": ErrorResponse, "description": HTTPStatus(status).phrase} for status in statuses}


# What is refused before a route is looked for is a problem here too.
_RESPONSES = {
    200: {"model": ImagesResponse, "headers": representations.HEADERS},
    **documented(401, 413, 415),
    **_documented(400, 404, 408, 429, 500, 503, 504),
}


@router.post("/images/generations", response_class=Response, responses=_RESPONSES)
async def generations(body: ImagesRequest, request: Request, state: AppState) -> Response:
    """Images of a prompt, as base64 PNGs."""
    model = _model(state.catalog, body.model)
    config = state.catalog.served[model].checkpoint.config
    with counted(config.data.dataset, state):
        if body.response_format == "url":
            raise invalid("response_format", "b64_json: nothing is kept that a URL could name", "url")
        zoom = _zoom(body.size, config.data.shape)
        wanted = body.model_dump(include={"prompt", "n", "seed", "steps", "guidance_scale"})
        resolved = resolve(state.catalog, SampleRequest(dataset=config.data.dataset, model=model, **wanted))
        samples = await while_connected(request, state.engine.sample(resolved.job))
        answer, _ = await encoded(state, representations.openai_json, resolved, samples.data, zoom)
        return Response(answer, media_type="application/json", headers=representations.headers(resolved))


@router.get("/models", responses=documented(401))
async def models(state: AppState) -> dict[str, Any]:
    """Those that understand prompts."""
    return {"object": "list", "data": [_described(name) for name in _prompted(state.catalog)]}


@router.get("/models/{name}", responses={**documented(401), **_documented(404)})
async def model(name: str, state: AppState) -> dict[str, Any]:
    return _described(_model(state.catalog, name))


def _described(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": OWNER}


def _prompted(catalog: Catalog) -> list[str]:
    """Models of images that understand prompts; of each dataset the one first that answers by default."""
    ranked = [served for dataset in catalog.datasets for served in models_with_prompts(catalog, dataset)]
    return [served.name for served in ranked if served.checkpoint.config.data.kind == "images"]


def _model(catalog: Catalog, name: str | None) -> str:
    known = _prompted(catalog)
    if not known:
        raise Problem(404, "no model here understands prompts; train one: `train mnist-clip`")
    if name is not None and name not in known:
        raise Problem(404, f"there is no model {name!r} that understands prompts; there are: {', '.join(known)}")
    return name or known[0]


def _zoom(size: str | None, shape: tuple[int, ...]) -> int:
    """How many times larger than the model's own pictures `size` is."""
    _, height, width = shape
    most = MAX_SIDE // max(height, width)
    sizes = {f"{zoom * width}x{zoom * height}": zoom for zoom in range(1, most + 1)}
    if size is None or size == "auto":
        return 1
    if size not in sizes:
        largest = f"{most * width}x{most * height}"
        raise invalid("size", f"auto, or a whole multiple of {width}x{height}, up to {largest}", size)
    return sizes[size]


def _field_meant(place: str, name: str) -> str | None:
    return field_meant(name, ImagesRequest.model_fields)


def _error(problem: Problem) -> Response:
    """Validation is 400 there; what was wrong with which field is `param`."""
    status = 400 if problem.status == 422 else problem.status
    error = {
        "message": problem.detail,
        "type": "invalid_request_error" if status < 500 and status != 429 else "server_error",
        "param": problem.errors[0].field if problem.errors else None,
        "code": {404: "model_not_found", 429: "rate_limit_exceeded"}.get(status),
    }
    return Response(json.dumps({"error": error}), status, headers=problem.headers, media_type="application/json")
