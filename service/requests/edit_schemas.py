"""The parts of a request that begin from something: a picture, a mask, a seed."""

from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    WithJsonSchema,
)

from model.noise import MAX_SEED
from service.media.uploads import MAX_BASE64, MAX_BYTES, MAX_SCANS, MAX_SIDE
from service.requests.leniency import GIVEN_SEED_SCHEMA, whole, whole_number

InitMethod = Literal["noise", "inversion"]
MAX_RESAMPLE = 20
MAX_GIVEN = 64  # dimensions

PICTURE = (
    f"A PNG or a JPEG in base64 (or a data URL), at most {MAX_BYTES:,} bytes and {MAX_SIDE}×{MAX_SIDE} pixels "
    f"(a JPEG: {MAX_SCANS} scans)"
)
FITTED = (
    "One of another size is scaled: the largest part around its middle that has the model's shape. "
    "The answer says so (`resized`)"
)

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Seed = Annotated[int, BeforeValidator(whole_number), Field(ge=0, le=MAX_SEED), WithJsonSchema(GIVEN_SEED_SCHEMA)]
GivenNumber = Annotated[StrictFloat, Field(allow_inf_nan=False)]
Given = StrictBool | StrictInt | GivenNumber | StrictStr | None
"""A number; of a table's other columns a category, a date, a boolean, or null for a missing value."""


class InitRequest(BaseModel):
    """A picture to begin from."""

    model_config = ConfigDict(extra="forbid", strict=True)

    image: str = Field(min_length=1, max_length=MAX_BASE64, description=f"{PICTURE}. {FITTED}.")
    strength: float | None = Field(
        None,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="How much of the way is taken: 0 gives the picture back, 1 begins from pure noise. The run starts "
        "at this share of T, and takes this share of the steps. Default: 1 with a mask and for `inversion`, else 0.5.",
    )
    method: InitMethod = Field(
        "noise",
        description="`noise` adds noise to the picture (SDEdit). `inversion` finds the noise that the sampler makes "
        "the picture of, which costs as many steps again; without guidance, the way back then ends at the picture. "
        "With another label it shows what would be different (a counterfactual).",
    )
    label: Annotated[StrictInt | StrictStr | None, BeforeValidator(whole)] = Field(
        None,
        description="What the picture shows, for `inversion`. Without it the picture is inverted unconditionally; a "
        "model that was trained with labels only needs it.",
    )


class MaskRequest(BaseModel):
    """What of the picture is redrawn."""

    model_config = ConfigDict(extra="forbid", strict=True)

    image: str = Field(
        min_length=1,
        max_length=MAX_BASE64,
        description=f"White is redrawn, black is kept to the byte. {PICTURE}. {FITTED}, and has it as it was "
        "understood: what is lighter than half is white.",
    )


class VariationsRequest(BaseModel):
    """A sample to vary."""

    model_config = ConfigDict(extra="forbid", strict=True)

    seed: Seed = Field(description="Of the sample.")
    amount: float = Field(
        ge=0, le=1, allow_inf_nan=False,
        description="How far its noise is turned towards each sample's own: 0 is the sample itself.",
    )  # fmt: skip
