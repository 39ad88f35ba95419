"""The parts of OpenAI's images API that begin from a picture: forms with files."""

from base64 import b64encode
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, Literal, TypeVar

import numpy as np
from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ConfigDict, Field, ValidationError
from starlette.datastructures import FormData, UploadFile

from model.noise import MAX_SEED
from service.http.lifecycle import counted, while_connected
from service.http.problems import Problem, invalid
from service.media import encoding
from service.media.uploads import MAX_BYTES, PictureError, transparency
from service.requests.leniency import SEED_SCHEMA
from service.requests.openai_images import IGNORED, ImagesOptions, images_dataset
from service.requests.schemas import MAX_PROMPT
from service.routes.openai import RESPONSES, OpenAISampleRoute, answered
from service.state import AppState

router = APIRouter(prefix="/v1", tags=["openai"], route_class=OpenAISampleRoute)

MAX_PARTS = 40  # of a form
HALF = 127
FILE = {"type": "string", "format": "binary"}
FILES = {"image": "a PNG or a JPEG, as a file", "mask": "a PNG, as a file"}
OWN_NAMES = {"init": "image", "init.image": "image", "init.strength": "strength", "mask": "mask", "mask.image": "mask"}
"""Field of a sample request → what it is called here."""


class VariationsForm(ImagesOptions):
    """How to vary a picture."""

    model_config = ConfigDict(extra="forbid")

    strength: float | None = Field(
        None, ge=0, le=1, allow_inf_nan=False,
        description="Our own: how much of the way from noise to a picture is taken. 0 is the picture, 1 ignores it. "
        "Default: 0.5, or 1 with a mask.",
    )  # fmt: skip
    seed: int | None = Field(None, ge=0, le=MAX_SEED, json_schema_extra=SEED_SCHEMA, description="Drawn by default.")


class EditsForm(VariationsForm):
    """What to make of a picture."""

    prompt: str = Field(min_length=1, max_length=MAX_PROMPT)
    input_fidelity: Literal["low", "high"] | None = Field(None, description=IGNORED)

    @property
    def ignored(self) -> list[str]:
        return super().ignored + (["input_fidelity"] if self.input_fidelity else [])


FormT = TypeVar("FormT", bound=ImagesOptions)


def _documented(form: type[ImagesOptions], files: Mapping[str, str]) -> dict[str, Any]:
    """The form as OpenAPI has it."""
    schema = form.model_json_schema()
    schema["properties"] |= {name: FILE | {"description": text} for name, text in files.items()}
    schema["required"] = [*schema.get("required", ()), "image"]
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


IMAGE = "A PNG or a JPEG. Of another size than the model's pictures, the middle of it is scaled."
MASK = "A PNG: what is transparent is redrawn, the rest is kept. Without it the image's own transparency counts."


@router.post(
    "/images/edits", response_class=Response, responses=RESPONSES,
    openapi_extra=_documented(EditsForm, {"image": IMAGE, "mask": MASK}),
)  # fmt: skip
async def edits(request: Request, state: AppState) -> Response:
    """A picture, redrawn by a prompt: where its mask is transparent, or as a whole."""
    with ExitStack() as until_answered:
        async with request.form(max_files=4, max_fields=MAX_PARTS) as form:
            body = _read(EditsForm, form)
            until_answered.enter_context(counted(images_dataset(state.catalog, body.model), state))
            image, mask = await _image(form), await _file(form, "mask")
        redrawn = await while_connected(request, state.decoding.run(_mask, image, mask))
        asked: dict[str, Any] = {"prompt": body.prompt, "init": _init(image, body)}
        if redrawn is not None:
            asked["mask"] = {"image": redrawn}
        return await _answered(body, asked, request, state)


@router.post(
    "/images/variations", response_class=Response, responses=RESPONSES,
    openapi_extra=_documented(VariationsForm, {"image": IMAGE}),
)  # fmt: skip
async def variations(request: Request, state: AppState) -> Response:
    """Pictures like one."""
    with ExitStack() as until_answered:
        async with request.form(max_files=1, max_fields=MAX_PARTS) as form:
            body = _read(VariationsForm, form)
            until_answered.enter_context(counted(images_dataset(state.catalog, body.model), state))
            image = await _image(form)
        return await _answered(body, {"init": _init(image, body)}, request, state)


async def _answered(body: ImagesOptions, asked: dict[str, Any], request: Request, state: AppState) -> Response:
    """Raises a Problem that calls the fields as they are called here."""
    try:
        return await answered(body, asked, request, state)
    except Problem as problem:
        for one in problem.errors or ():
            if (own := OWN_NAMES.get(one.field)) is not None:
                raise invalid(own, one.detail) from problem
        raise


def _init(image: bytes, body: VariationsForm) -> dict[str, Any]:
    return {"image": b64encode(image).decode(), "strength": body.strength}


def _read(kind: type[FormT], form: FormData) -> FormT:
    """The form's texts as the model of it, without empty ones. Raises Problem (422) and RequestValidationError."""
    texts: dict[str, Any] = {}
    for name, value in form.multi_items():
        if isinstance(value, str) and value:
            if name.removesuffix("[]") in FILES:
                raise invalid(name, FILES[name.removesuffix("[]")], value)
            if name in texts:
                raise invalid(name, "given several times: give one", [texts[name], value])
            texts[name] = value
    try:
        return kind.model_validate(texts)
    except ValidationError as error:
        errors = [{**one, "loc": ("body", *one["loc"])} for one in error.errors()]
        raise RequestValidationError(errors, body=texts) from error


async def _image(form: FormData) -> bytes:
    """Raises Problem (422)."""
    image = await _file(form, "image")
    if image is None:
        raise invalid("image", FILES["image"])
    return image


async def _file(form: FormData, name: str) -> bytes | None:
    """The file of that name, in any of the forms in which clients send one; a page's form sends an empty one where none
    was chosen. Raises Problem (422)."""
    files = [value for key in (name, f"{name}[]") for value in form.getlist(key) if isinstance(value, UploadFile)]
    if len(files) > 1:
        raise invalid(name, f"one picture, not {len(files)}")
    if not files:
        return None
    content = await files[0].read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise invalid(name, f"at most {MAX_BYTES:,} bytes")
    return content or None


def _mask(image: bytes, mask: bytes | None) -> str | None:
    """White where the mask, or else the picture, is transparent, as a PNG in base64; None where all is to be redrawn.

    Raises Problem (422).
    """
    name = "image" if mask is None else "mask"
    try:
        found = transparency(image if mask is None else mask)
    except PictureError as error:
        raise invalid(name, str(error)) from error
    if found is None:
        if mask is None:
            return None
        raise invalid("mask", "a PNG with an alpha channel: what is transparent is redrawn")
    white = np.where(found > HALF, 255, 0).astype(np.uint8)
    if mask is None and not white.any():  # soft edges are no hole
        return None
    if white.min() == white.max():
        raise invalid(name, "transparent in part: all of it is redrawn without a mask, and nothing if all is opaque")
    return b64encode(encoding.png(white, {})).decode()
