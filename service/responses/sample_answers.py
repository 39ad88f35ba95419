"""The fields of an answer with samples, as JSON."""

from typing import Literal

from pydantic import BaseModel, Field

from model.sampler_spec import Variance
from model.samplers import Sampler, samplers_with
from service.requests.edit_schemas import Given, InitRequest, MaskRequest, VariationsRequest
from service.requests.schemas import ControlRequest, GuidanceMethod


class _Answered(BaseModel):
    """What a request came to; given back as a request with the label, each sample can be had again."""

    model: str
    dataset: str
    prompt: str | None = Field(description="What was asked in words, else null.")
    unknown_words: list[str] | None = Field(
        None, description="Those of the prompt that were not understood; not there without a prompt."
    )
    sampler: Sampler
    steps: int
    eta: float | None = Field(description=f"For {', '.join(samplers_with('eta'))}, else null.")
    variance: Variance | None = Field(description=f"For {', '.join(samplers_with('variance'))}, else null.")
    guidance: GuidanceMethod
    guidance_scale: float | None = Field(description="Null where guidance is none.")
    guidance_interval: list[float] | None = Field(description="Null where guidance is the same at every step.")
    labels_drawn: Literal[True] | None = Field(
        None, description="Nothing was asked, so each sample's label was drawn from the training proportions by its "
        "seed; not there otherwise. With its label and seed, each sample can be had again."
    )  # fmt: skip
    control: ControlRequest | None = Field(
        None, description="The hint as it was understood, as a `control` for which the same samples follow it; not "
        "there without one."
    )  # fmt: skip
    seed: int
    seed_to: int | None = Field(None, description="The walk's other end; not there without a walk, and so on below.")
    mix: list[float] | None = Field(None, description="Where each sample lies between `seed` and `seed_to`.")
    variations_of: VariationsRequest | None = None
    init: InitRequest | None = Field(None, description="The picture as it was understood.")
    mask: MaskRequest | None = Field(None, description="The mask as it was understood: white is redrawn.")
    given: dict[str, Given] | None = None
    resample: int | None = None
    resized: dict[str, list[int]] | None = Field(
        None, description="Pictures that did not fit the model, by field, with the width and height that they had."
    )


class ImageAnswer(BaseModel):
    label: str | None
    seed: int
    mix: float | None = Field(None, description="Where the sample lies between `seed` and `seed_to`, in a walk.")
    b64_png: str


class ImagesAnswer(_Answered):
    images: list[ImageAnswer]


class TableAnswer(BaseModel):
    columns: list[str]
    rows: list[list[Given]] = Field(description="A list for each sample; null is a missing value.")


class PointsAnswer(_Answered):
    columns: list[str] = Field(description="What the dimensions are called.")
    points: list[list[float]] = Field(description="In the data's own units.")
    labels: list[str] | None = Field(description="Null where no label was asked for, and none drawn.")
    table: TableAnswer | None = Field(
        None, description="The points as the table has them that the model learned: of one with categories, dates, "
        "whole numbers or missing values; not there otherwise."
    )  # fmt: skip
