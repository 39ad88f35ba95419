"""OpenAI's images API as a request of ours: its fields, its models, and what they resolve to."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema, model_validator

from model.noise import MAX_SEED
from service.checkpoints.catalog import Catalog
from service.http.problems import InvalidField, Problem, invalid, of_validation
from service.requests.field_names import field_meant
from service.requests.labels import index_of
from service.requests.leniency import SEED_SCHEMA, as_meant
from service.requests.model_choice import choose, models_with_prompts
from service.requests.prompts import class_named
from service.requests.quality import Quality
from service.requests.resolve import Resolved, resolve
from service.requests.schemas import MAX_PROMPT, SampleRequest, ranges

MAX_N = 10
MAX_SIDE = 1024  # pixels of a picture
SIZE = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})")
IGNORED = "Changes nothing here."
QUALITIES: Mapping[str, Quality | None] = {
    "low": "low", "medium": "medium", "high": "high", "auto": "auto", "hd": "high", "standard": None
}  # fmt: skip
"""What OpenAI's words mean here."""


def _off(value: bool) -> bool:
    if value:
        raise ValueError("Input should be False: pictures come when they are done")
    return value


Off = Annotated[bool, AfterValidator(_off), WithJsonSchema({"type": "boolean", "const": False})]


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
    stream: Off | None = None
    partial_images: int | None = Field(None, ge=0, le=0)  # as Literal[0] it would take false, which equals it
    quality: Literal["auto", "standard", "hd", "low", "medium", "high"] | None = Field(
        None,
        description="As at POST /sample: `low` is 1 network evaluation, `medium` 2, where a few-step student can draw "
        "the prompt; `high`, or `hd`, is the many-step model, as `standard`. `model` and `steps` say more, and win.",
    )
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
        return as_meant(fields)

    @property
    def ignored(self) -> list[str]:
        """The fields that ask for something else than the default, and change nothing here."""
        meaningless = ("style", "moderation", "output_compression", "user")
        return [name for name in meaningless if getattr(self, name) not in (None, "auto")]


class ImagesRequest(ImagesOptions):
    """What to draw, and how."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [{"prompt": "bold 3"}]})

    prompt: str = Field(min_length=1, max_length=MAX_PROMPT)


@dataclass(frozen=True, eq=False)
class ResolvedImages:
    """zoom     how many times larger than the model's own the pictures are
    ignored  the fields that were not honoured, or only in part
    """

    resolved: Resolved
    zoom: int
    ignored: list[str]


def resolve_images(catalog: Catalog, body: ImagesOptions, asked: Mapping[str, Any]) -> ResolvedImages:
    """`asked` are the fields of a sample request that `body` does not have under the same names.

    Raises Problem (404, 422).
    """
    model = images_model(catalog, body.model)
    data = catalog.served[model].checkpoint.config.data
    if body.response_format == "url":
        raise invalid("response_format", "b64_json: nothing is kept that a URL could name", "url")
    zoom, fits = _zoom(body.size, data.shape)
    wanted = body.model_dump(include={"n", "seed", "steps", "guidance_scale"}) | dict(asked)
    request = SampleRequest(dataset=data.dataset, model=model, **wanted)
    quality = QUALITIES[body.quality] if body.quality is not None and body.model is None else None
    few_steps = None if quality is None else _few_steps(catalog, request.model_copy(update={"model": None}), quality)
    ignored = body.ignored
    if few_steps is None and body.quality in ("low", "medium"):
        ignored.insert(0, "quality")
    return ResolvedImages(resolve(catalog, few_steps or request), zoom, ignored + ([] if fits else ["size"]))


def _few_steps(catalog: Catalog, request: SampleRequest, quality: Quality) -> SampleRequest | None:
    """The request as a student answers it, by the prompt or by the class that the prompt names and says nothing
    besides; None where none does."""
    asked: list[tuple[SampleRequest, str | None]] = [(request, None)]
    text = choose(catalog, request).served.text
    if text is not None and request.prompt is not None:
        names = class_named(text.config.vocabulary, request.prompt)
        asked += [(request.model_copy(update={"prompt": None, "label": name}), name) for name in names]
    for one, label in asked:
        choice = choose(catalog, one.model_copy(update={"quality": quality}))
        if choice.steps is not None and (label is None or index_of(label, choice.label_names) is not None):
            return choice.request
    return None


def prompted_models(catalog: Catalog) -> list[str]:
    """Models of images that understand prompts; of each dataset the one first that answers by default."""
    ranked = [served for dataset in catalog.datasets for served in models_with_prompts(catalog, dataset)]
    return [served.name for served in ranked if served.checkpoint.config.data.kind == "images"]


def images_model(catalog: Catalog, name: str | None) -> str:
    """The model of that name, or the first. Raises Problem (404) that lists what there is."""
    known = prompted_models(catalog)
    if not known:
        detail = "no model here understands prompts; train one: `train mnist-clip`"
        raise Problem(404, detail, errors=[InvalidField(field="model", detail=detail)])
    if name is not None and name not in known:
        detail = f"there is no model {name!r} that understands prompts; there are: {', '.join(known)}"
        raise Problem(404, detail, errors=[InvalidField(field="model", detail=detail)])
    return name or known[0]


def images_dataset(catalog: Catalog, name: str | None) -> str:
    """Of the model of that name, or of the first; empty where there is none."""
    served = catalog.served.get(name or next(iter(prompted_models(catalog)), ""))
    return "" if served is None else served.checkpoint.config.data.dataset


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


def images_field_meant(place: str, name: str) -> str | None:
    """What a field that there is not is called in this API."""
    return field_meant(name, ImagesRequest.model_fields)


def read_images_request(fields: Any) -> ImagesRequest:
    """A request that did not come by a route. Raises Problem (422), as the route answers."""
    try:
        return ImagesRequest.model_validate(fields)
    except ValidationError as error:
        errors = [{**one, "loc": ("body", *one["loc"])} for one in error.errors()]
        raise of_validation(RequestValidationError(errors), ranges(), images_field_meant) from error
