"""OpenAI's images API over the same engine, for the clients that speak it."""

import re
from collections.abc import Callable, Coroutine, Mapping
from http import HTTPStatus
from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, model_validator

from model.noise import MAX_SEED
from service.checkpoints.catalog import Catalog
from service.http.lifecycle import CountedRoute, counted, encoded, off_the_loop, while_connected
from service.http.openai_errors import openai_error
from service.http.problems import EXAMPLES, UNKEPT, InvalidField, Problem, invalid, of_validation
from service.requests.field_names import field_meant
from service.requests.leniency import SEED_SCHEMA, seed_in_other_words, whole_numbers
from service.requests.model_choice import models_with_prompts
from service.requests.resolve import resolve
from service.requests.schemas import MAX_PROMPT, SampleRequest, ranges
from service.responses import representations
from service.state import AppState, State

MAX_N = 10
MAX_SIDE = 1024  # pixels of a picture
OWNER = "spirale"
SIZE = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})")
IGNORED = "Changes nothing here."


class OpenAIRoute(CountedRoute):
    """A field that there is not is answered with what it is called in this API."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_all(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as error:
                raise of_validation(error, ranges(), _field_meant) from error

        return handle_all


router = APIRouter(prefix="/v1", tags=["openai"], route_class=OpenAIRoute)


class ImagesOptions(BaseModel):
    """The fields of OpenAI's images API that its routes share, and three of our own: seed, steps, guidance_scale.

    Fields that mean nothing here are taken where that does no harm; the answer names them in X-Ignored-Fields.
    """

    model: str | None = Field(None, max_length=64, description="One of those at /v1/models. Default: the first.")
    n: int | None = Field(None, ge=1, le=MAX_N)
    size: str | None = Field(
        None,
        description="`auto` is the model's own size. Of another, such as 1024x1024, the largest whole multiple of the "
        "model's size that fits in: pixels are enlarged.",
        examples=["auto", "112x112"],
    )
    response_format: Literal["b64_json", "url"] | None = Field(None, description="b64_json only.")
    output_format: Literal["png"] | None = None
    background: Literal["auto", "opaque"] | None = None
    stream: Literal[False] | None = None
    partial_images: Literal[0] | None = None
    quality: Literal["auto", "standard", "hd", "low", "medium", "high"] | None = Field(None, description=IGNORED)
    style: Literal["vivid", "natural"] | None = Field(None, description=IGNORED)
    moderation: Literal["auto", "low"] | None = Field(None, description=IGNORED)
    output_compression: int | None = Field(None, ge=0, le=100, description=IGNORED)
    user: str | None = Field(None, max_length=256, description=IGNORED)
    seed: int | None = Field(
        None, ge=0, le=MAX_SEED, json_schema_extra=SEED_SCHEMA, description="Drawn where it is not given, or -1."
    )
    steps: int | None = None
    guidance_scale: float | None = Field(None, ge=0, le=20, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _as_meant(cls, fields: Any) -> Any:
        return seed_in_other_words(whole_numbers(fields)) if isinstance(fields, dict) else fields

    @property
    def ignored(self) -> list[str]:
        """The fields that ask for something else than the default, and change nothing here."""
        meaningless = ("quality", "style", "moderation", "output_compression", "user")
        return [name for name in meaningless if getattr(self, name) not in (None, "auto")]


class ImagesRequest(ImagesOptions):
    """What to draw, and how."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [{"prompt": "bold 3"}]})

    prompt: str = Field(min_length=1, max_length=MAX_PROMPT)


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


def _documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
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
    **_documented(400, 401, 404, 408, 413, 415, 429, 500, 503, 504),
}


@router.post("/images/generations", response_class=Response, responses=RESPONSES)
async def generations(body: ImagesRequest, request: Request, state: AppState) -> Response:
    """Images of a prompt, as base64 PNGs."""
    return await answered(body, {"prompt": body.prompt}, request, state)


async def answered(body: ImagesOptions, asked: dict[str, Any], request: Request, state: State) -> Response:
    """The samples of `asked`, the fields of a sample request that `body` does not have under the same names."""
    model = _model(state.catalog, body.model)
    config = state.catalog.served[model].checkpoint.config
    with counted(config.data.dataset, state):
        if body.response_format == "url":
            raise invalid("response_format", "b64_json: nothing is kept that a URL could name", "url")
        zoom, fits = _zoom(body.size, config.data.shape)
        wanted = body.model_dump(include={"n", "seed", "steps", "guidance_scale"}) | asked
        resolved = resolve(state.catalog, SampleRequest(dataset=config.data.dataset, model=model, **wanted))
        if not resolved.is_ready:
            resolved = await off_the_loop(state, resolved.made_ready)
        samples = await while_connected(request, state.engine.sample(resolved.job))
        answer, _ = await encoded(state, representations.openai_json, resolved, resolved.exact(samples.data), zoom)
        headers = representations.headers(resolved)
        if ignored := body.ignored + ([] if fits else ["size"]):
            headers["X-Ignored-Fields"] = ", ".join(ignored)
        return Response(answer, media_type="application/json", headers=headers)


@router.get("/models", responses=_documented(401))
async def models(response: Response, state: AppState) -> dict[str, Any]:
    """Those that understand prompts."""
    response.headers.update(UNKEPT)
    return {"object": "list", "data": [_described(name) for name in _prompted(state.catalog)]}


@router.get("/models/{name}", responses=_documented(401, 404))
async def model(name: str, response: Response, state: AppState) -> dict[str, Any]:
    response.headers.update(UNKEPT)
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
        detail = f"there is no model {name!r} that understands prompts; there are: {', '.join(known)}"
        raise Problem(404, detail, errors=[InvalidField(field="model", detail=detail)])
    return name or known[0]


def _zoom(size: str | None, shape: tuple[int, ...]) -> tuple[int, bool]:
    """How many times larger than the model's own pictures those of `size` are, and whether they fill it."""
    _, height, width = shape
    if size is None or size == "auto":
        return 1, True
    asked = SIZE.fullmatch(size)
    across, down = (0, 0) if asked is None else (int(asked[1]), int(asked[2]))
    zoom = min(across // width, down // height, MAX_SIDE // max(height, width))
    if zoom < 1:
        raise invalid("size", f"auto, or WIDTHxHEIGHT of at least {width}x{height}", size)
    return zoom, (across, down) == (zoom * width, zoom * height)


def _field_meant(place: str, name: str) -> str | None:
    return field_meant(name, ImagesRequest.model_fields)
