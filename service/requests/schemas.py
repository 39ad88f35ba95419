"""What is asked and what is answered: shapes and ranges. What goes together is the catalogue's to say."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictInt,
    StrictStr,
    model_validator,
)
from pydantic.fields import FieldInfo

from model.checkpoints.config import NoiseLevel, ordered
from model.conditions import ControlKind
from model.data import MAX_NAME
from model.noise import MAX_SEED
from model.sampler_spec import OptionName, Variance
from model.samplers import SAMPLERS, Sampler
from service.media.uploads import MAX_BASE64
from service.requests.edit_schemas import (
    MAX_GIVEN,
    MAX_RESAMPLE,
    PICTURE,
    Given,
    InitRequest,
    MaskRequest,
    Seed,
    Share,
    VariationsRequest,
)
from service.requests.leniency import SEED_SCHEMA, as_meant, seed_in_other_words, without_empty
from service.requests.quality import Quality

GuidanceMethod = Literal["none", "classifier-free", "classifier", "clip", "auto"]
Label = Annotated[StrictInt | StrictStr, Field(description="Class name or number.")]
Axis = Annotated[StrictInt | StrictStr, Field(description="A dimension's name or number, from 0.")]

MAX_IMAGES = 64
MAX_POINTS = 10_000
MAX_PROMPT = 200  # characters
INPAINTING_TIMES = 5  # that each step is taken where a mask keeps something …
CONDITIONING_TIMES = 10  # … or dimensions are given
MAX_ROWS = {"images": MAX_IMAGES, "points": MAX_POINTS}
DEFAULT_ROWS = {"images": 1, "points": 500}

Interval = Annotated[list[NoiseLevel], Field(min_length=2, max_length=2), AfterValidator(ordered)]

# They stop at the first wrong item: an error for each of a million would take seconds of the event loop, and gigabytes.
Labels = Annotated[list[Label], Field(max_length=MAX_POINTS, fail_fast=True)]
Shares = Annotated[list[Share], Field(max_length=MAX_POINTS, fail_fast=True)]
AXES = (
    "Two dimensions of points that a picture of them shows, by name or number, with Accept: image/png. "
    "Default: the first two, of a table the first two numbers or dates."
)
SEED_TO = (
    "The samples lie between the noise of `seed` and that of `seed_to` (a spherical interpolation), and all draw the "
    "later noise of `seed`."
)
MIX = (
    "Where between the two: 0 is `seed`, 1 is `seed_to`. A number for each sample. Default: a walk from one end to the "
    "other."
)


def _of_option(name: OptionName) -> str:
    """For which samplers it is, and what it means to each."""
    options = ((spec.name, option) for spec in SAMPLERS.values() for option in spec.options)
    return " ".join(f"For `{sampler}`: {option.explanation}." for sampler, option in options if option.name == name)


class SampleFields(BaseModel):
    """The fields that every way to ask for samples has."""

    dataset: str = Field(max_length=MAX_NAME, description="One of those at /models.", examples=["mnist"])
    prompt: str | None = Field(
        None, min_length=1, max_length=MAX_PROMPT,
        description="Words instead of a label, for models that understand them; those are listed at /models.",
        examples=["a thin seven leaning right"],
    )  # fmt: skip
    guidance: GuidanceMethod | None = Field(
        None, description="How a label or a prompt guides. Default: `classifier-free`; for a prompt `clip`, if a CLIP "
        "is `default_for_prompts` at /models. `none` is the plain conditional model, like a scale of 1. `classifier` "
        "guides to a label by a classifier's gradient, `clip` to a prompt by CLIP's. Both take the unconditional model "
        "unless another is pinned. A hint without label and prompt takes `classifier-free` or `none`. `auto` needs "
        "neither: it leads samples away from what a weaker network predicts, for models that have one."
    )  # fmt: skip
    guidance_scale: float | None = Field(
        None, ge=0, le=20, allow_inf_nan=False,
        description="Classifier-free: 0 ignores the label, 1 is off, more is stronger; the paper's w is this minus "
        "1. Without label and prompt it applies to the hint. Classifier and clip: it scales the gradient; 0 is off. "
        "Auto: 1 is off, more leads farther away from the weak network. Default: the model card's, unless the card of "
        "a guidance model, a weak network, or a lone hint's ControlNet, overrides it.",
    )  # fmt: skip
    guidance_interval: Interval | None = Field(
        None, examples=[[0.3, 5]],
        description="Two noise levels, low then high: classifier-free guidance scales between them only, and a step "
        "outside is plain conditional and costs one evaluation less. The noise level is √((1−ᾱ)/ᾱ), the σ of the "
        "variance-exploding form. Default: the card's, which may be none: guidance at every step. A request that names "
        "a `guidance_scale` and no interval is guided at every step.",
    )  # fmt: skip
    steps: int | None = Field(
        None, json_schema_extra={"minimum": 1},
        description="1 … T of the model. `evaluations_per_step` of the sampler at /models tells what a step costs. "
        "Default: the card's, as of sampler."
    )  # fmt: skip
    sampler: Sampler | None = Field(
        None, description="Default: the model card's, unless the card of a guidance model, or of a lone hint's "
        "ControlNet, overrides it. " + "; ".join(f"`{spec.name}`: {spec.explanation}" for spec in SAMPLERS.values()),
    )  # fmt: skip
    eta: float | None = Field(
        None, ge=0, le=1, allow_inf_nan=False, description=f"{_of_option('eta')} Default: the model card's."
    )
    variance: Variance | None = Field(None, description=f"{_of_option('variance')} Default: the model card's.")
    n: int | None = Field(
        None, json_schema_extra={"minimum": 1, "maximum": MAX_POINTS},
        description=f"How many: 1 … {MAX_IMAGES} images, 1 … {MAX_POINTS:,} points. "
        "Default: as many as there are labels in a list, else 1 image or 500 points."
    )  # fmt: skip
    seed: int | None = Field(
        None,
        ge=0,
        le=MAX_SEED,
        json_schema_extra=SEED_SCHEMA,
        description="Sample i has seed (seed + i) mod 2⁶³. Drawn, and answered, where it is not given, or -1. Past "
        "2⁵³, where JavaScript's numbers are not exact, a string of digits is taken too.",
    )
    model: str | None = Field(None, max_length=64, description="Pins one checkpoint, by its name at /models.")
    quality: Quality | None = Field(
        None, description="For models that have a few-step student: `low` is its 1 evaluation, `medium` 2, `high` the "
        "many-step model. `auto` is the fewest whose label accuracy is at most 0.005 below that of `high`, "
        "precision and recall at most 0.02, and of points the sliced Wasserstein ratio at most 0.5 above, on the "
        "cards. `model`, `sampler` and `steps` say more, and win. Default: as `high`.",
    )  # fmt: skip
    previews: int | None = Field(
        None, ge=0, le=50, description="How often x̂0 is shown on the way, with Accept: text/event-stream. Default: 10."
    )
    noisy_previews: bool | None = Field(
        None,
        description="With Accept: text/event-stream. Each `progress` event has x_t beside x̂0, and the first shows step "
        "0: the noise that the run starts from.",
    )
    zoom: int | None = Field(None, ge=1, le=16, description="Enlarges PNGs so many times, for human eyes.")


class ControlRequest(BaseModel):
    """A picture to follow."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: ControlKind = Field(description="Follow the picture's edges, or its strokes.")
    image: str = Field(
        min_length=1, max_length=MAX_BASE64,
        description=f"{PICTURE}: grey, colour or with alpha, dark on light or light on dark.",
    )  # fmt: skip
    scale: float | None = Field(
        None, ge=0, le=2, allow_inf_nan=False, description="How strongly: 0 is off. Default: the model card's."
    )
    preprocess: bool = Field(
        True,
        description="False: the image is the hint itself, light on dark, as large as the model's images.",
    )


class EditFields(BaseModel):
    """The fields that say what every sample begins from, and what it keeps."""

    init: InitRequest | None = Field(None, description="A picture that all samples begin from.")
    mask: MaskRequest | None = Field(None, description="What of the picture `init` is redrawn; the rest is kept.")
    given: dict[str, Given] | None = Field(
        None, max_length=MAX_GIVEN, examples=[{"x": 0.5}],
        description="Dimensions of points, by name or number, that all samples have: value by dimension, in the data's "
        "own units. The others are drawn to fit. Of a table with categories, dates or missing values they are its "
        "columns: a category by its name, a date as the table writes it, null for a missing value.",
    )  # fmt: skip
    resample: int | None = Field(
        None, ge=1, le=MAX_RESAMPLE,
        description="With `mask` or `given`: how often each step but the last is taken, so that what is drawn comes to "
        f"agree with what is kept (RePaint). It multiplies the cost. Default: {INPAINTING_TIMES} with a mask, "
        f"{CONDITIONING_TIMES} for points; 1 with inversion, a learned variance, or a ControlNet for inpainting.",
    )  # fmt: skip
    variations_of: VariationsRequest | None = Field(None, description="A sample that all samples are variations of.")

    @property
    def asks_inversion(self) -> bool:
        """Are the samples to begin from the picture's own noise?"""
        return self.init is not None and self.init.method == "inversion"


class SampleRequest(EditFields, SampleFields):
    """The body of POST /sample."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [{"dataset": "mnist", "label": 7}, {"dataset": "mnist", "prompt": "a thin seven leaning right"}]
        },
    )

    label: Label | Labels | None = Field(
        None, description="A class, or a list of them, one for each sample. By name first: 10 is the class that is "
        "called 10, where there is one, else the one whose place in the list at /models is 10. Without label, prompt "
        "and hint, each sample's label is drawn from the training proportions by its seed, if a model knows them "
        "(`draws_labels` at /models); else samples are unconditional."
    )  # fmt: skip
    axes: list[Axis] | None = Field(None, min_length=2, max_length=2, description=AXES, examples=[[0, 1]])
    control: ControlRequest | None = Field(
        None, description="A picture that all samples follow, for models that have a ControlNet of its kind: /models."
    )
    seed_to: Seed | None = Field(None, description=SEED_TO)
    mix: Shares | Share | None = Field(None, description=MIX)

    @model_validator(mode="before")
    @classmethod
    def _as_meant(cls, fields: Any) -> Any:
        return as_meant(fields)

    @property
    def is_plain(self) -> bool:
        """Are there no pictures to be decoded, no noise to be drawn, and no steps to be taken several times?"""
        begins = (self.control, self.init, self.given, self.seed_to, self.variations_of)
        return begins == (None,) * len(begins)


NESTED: Mapping[str, type[BaseModel]] = {
    "control": ControlRequest, "init": InitRequest, "mask": MaskRequest, "variations_of": VariationsRequest
}  # fmt: skip
"""The fields of a request that have fields of their own."""


def ranges() -> Mapping[str, str]:
    """Field → "0 … 20", of the fields whose two bounds do not depend on the model."""
    bounds: dict[str, dict[str, Any]] = {}
    nested = {f"{parent}.{name}": field for parent, name, field in _nested_fields()}
    for name, field in (SampleRequest.model_fields | nested).items():
        for limit in field.metadata:
            bounds.setdefault(name, {}).update(
                {kind: getattr(limit, kind) for kind in ("ge", "le") if hasattr(limit, kind)}
            )
    found = {name: f"{bound['ge']} … {bound['le']}" for name, bound in bounds.items() if {"ge", "le"} <= bound.keys()}
    return found | {"seed": f"{found['seed']}, or -1 to have one drawn"}


def _nested_fields() -> Iterator[tuple[str, str, FieldInfo]]:
    for parent, model in NESTED.items():
        for name, field in model.model_fields.items():
            yield parent, name, field


def commas(values: Any) -> Any:
    """?label=1,2&label=3 → ["1", "2", "3"]"""
    if isinstance(values, list):
        return [part.strip() for value in values for part in str(value).split(",")]
    return values


class SampleQuery(SampleFields):
    """The query string of GET /sample: the same, in text."""

    model_config = ConfigDict(extra="forbid")

    label: Annotated[list[str] | None, BeforeValidator(commas), Field(max_length=MAX_POINTS)] = Field(
        None, description="A class, or several: repeated, or with commas between. Default: as in the body of POST."
    )

    axes: Annotated[list[str] | None, BeforeValidator(commas), Field(min_length=2, max_length=2)] = Field(
        None, description=AXES
    )
    seed_to: Seed | None = Field(None, description=SEED_TO)
    mix: Annotated[Shares | None, BeforeValidator(commas)] = Field(None, description=MIX)
    guidance_interval: Annotated[Interval | None, BeforeValidator(commas)] = Field(
        None, description=SampleFields.model_fields["guidance_interval"].description
    )

    @model_validator(mode="before")
    @classmethod
    def _as_meant(cls, fields: Any) -> Any:
        return seed_in_other_words(without_empty(fields)) if isinstance(fields, dict) else fields

    def as_request(self) -> SampleRequest:
        fields = self.model_dump(exclude_unset=True)
        if self.label is not None and len(self.label) == 1:
            fields["label"] = self.label[0]
        return SampleRequest(**fields)
