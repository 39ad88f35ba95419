"""The fields of GET /models."""

from typing import Literal

from pydantic import BaseModel, Field, JsonValue

from model.checkpoints.base import Precision
from model.conditions import Conditioning, ControlKind, HintKind
from model.hints import Framing
from model.sampler_spec import OptionName, Variance
from service.engine.row_functions import Backend
from service.requests.quality import Quality
from service.requests.schemas import GuidanceMethod
from service.requests.ways import Asks, Edit


class SamplerOptionAnswer(BaseModel):
    explanation: str
    default: float | str
    bounds: list[float] | None = Field(description="The least and the most of a number, else null.")
    choices: list[str] = Field(description="The values of a choice, else empty.")


class SamplerAnswer(BaseModel):
    title: str
    explanation: str = Field(description="One line for whoever has to choose.")
    stochastic: bool = Field(description="It draws noise at every step.")
    evaluations_per_step: int = Field(description="Network evaluations of each step except the last, which takes one.")
    options: dict[OptionName, SamplerOptionAnswer]


class Sampling(BaseModel):
    """What a card advises."""

    sampler: str
    steps: int
    guidance_scale: float
    guidance_interval: list[float] | None = Field(description="Noise levels; null is all of them.")
    eta: float
    variance: Variance


class WayDefaults(BaseModel):
    """What a request gets that leaves these fields away."""

    sampler: str
    steps: int
    guidance_scale: float | None = Field(description="Null where guidance is none.")
    guidance_interval: list[float] | None = Field(description="Noise levels; null is all of them.")
    eta: float = Field(description="Of samplers that take it.")
    variance: Variance = Field(description="Of samplers that take it.")
    control_scale: float | None = Field(description="`control.scale`; null unless the request has `control`.")
    resample: int | None = Field(
        description="How often each step is taken where a mask keeps a part; null where no mask may be given."
    )


class WayAnswer(BaseModel):
    """One way to ask."""

    asks: Asks = Field(description="What the request conditions its samples on.")
    hint: HintKind | None = Field(
        description="The `control.kind` beside it, if any; `inpainting` where samples follow what a `mask` keeps."
    )
    guidance: GuidanceMethod
    model: str = Field(description="The checkpoint that answers.")
    draws_labels: bool = Field(
        description="Each sample's label is drawn from the training proportions by its seed, and the answer lists them."
    )
    edits: list[Edit] = Field(
        description="What its samples may begin from, if the sampler suits: `inversion` is a method of `init`."
    )
    defaults: WayDefaults
    network_evaluations: int = Field(description="Network evaluations of one sample, with these defaults.")
    seconds: float | None = Field(
        description="An estimate: how long `default_n` samples take on this device while it is idle, by the passes "
        "timed so far. A pass of a ControlNet or for a gradient counts as one of the network. Null while the model "
        "is not loaded."
    )


class QualityAnswer(BaseModel):
    """What `quality` means beside a label, a prompt or nothing, and beside a hint, with the defaults."""

    asks: Asks
    hint: ControlKind | None
    quality: Quality
    model: str = Field(description="The checkpoint that answers.")
    sampler: str
    steps: int
    network_evaluations: int = Field(description="Network evaluations of one sample.")
    milliseconds: float | None = Field(
        description="An estimate: how long `default_n` samples take on this device while it is idle, by the passes "
        "timed so far. Null while the model is not loaded."
    )


class GuidanceModelAnswer(BaseModel):
    name: str
    guidance: GuidanceMethod
    guidance_scale: float
    sampler: str
    steps: int
    default_for_prompts: bool = Field(description="It guides prompts that name no guidance.")
    metrics: dict[str, JsonValue]


class ControlNetAnswer(BaseModel):
    name: str
    kind: HintKind
    scale: float
    guidance_scale: float
    guidance_interval: list[float] | None = Field(description="Noise levels; null is all of them.")
    sampler: str
    steps: int
    framing: Framing
    metrics: dict[str, JsonValue]


class FunctionAnswer(BaseModel):
    """How a network, or a gradient, is computed here."""

    backend: Backend = Field(description="onnx computes batches of any size; torch pads them to `batch_sizes`.")
    batch_sizes: list[int] = Field(description="Empty for any.")


class ModelEngineAnswer(FunctionAnswer):
    """How a model runs here."""

    precision: Precision
    network_evaluations_per_second: dict[int, int] = Field(description="By batch size, at those that are timed.")
    knee: int = Field(description="The smallest batch size that is nearly as fast, by evaluation, as the fastest.")
    guidance_models: dict[str, FunctionAnswer] = Field(
        description="By name, how its gradient is computed, or the weak network of autoguidance."
    )
    controlnets: dict[str, FunctionAnswer] = Field(description="By name.")


class FewStepAnswer(BaseModel):
    """How a few-step student, or a consistency model, may be asked: it has learned nothing else."""

    teacher: str | None = Field(description="The checkpoint that it learned from; null where that is not known.")
    sampler: str
    steps: list[int] = Field(description="All that a student takes; of a consistency model some of 1 … T.")
    guidance_range: list[float] = Field(description="The least and the most scale; 0 is no label.")


class ModelAnswer(BaseModel):
    """A checkpoint that is served."""

    name: str
    conditioning: Conditioning | None
    labels: list[str]
    label_shares: list[float] = Field(
        description="How often each label occurs in the training data; empty where that is not known."
    )
    clusters: int = Field(
        description="Groups of unlabelled training rows, without names. Each sample is of one, which its seed draws in "
        "the training proportions; 0 is none."
    )
    T: int = Field(description="Steps of the full chain.")
    variances: list[Variance]
    defaults: Sampling
    metrics: dict[str, JsonValue]
    few_step: FewStepAnswer | None = Field(description="Null for models that take any number of steps.")
    reference: int = Field(description="How many real points GET /models/{name}/reference has.")
    farthest: bool = Field(description="There is a picture at GET /models/{name}/farthest.")
    training_rows: bool = Field(description="It keeps its training rows, so that `distinct` of POST /jobs applies.")
    judged: bool = Field(description="There is a judge of its classes, so that `accept` of POST /jobs applies.")
    guidance_models: list[GuidanceModelAnswer]
    controlnets: list[ControlNetAnswer]
    loaded: bool = Field(description="It is in memory, ready to run. Else a request waits until it is.")
    engine: ModelEngineAnswer | None = Field(description="Null while the model is not loaded.")


class PromptsAnswer(BaseModel):
    words: list[str]
    examples: list[str]


class TableColumnAnswer(BaseModel):
    name: str
    kind: Literal["number", "date", "category", "label"]
    categories: list[str] = Field(description="Of a category; empty for all others.")
    missing: bool = Field(description="It may have missing values, which are null.")
    origin: str | None = Field(
        description="Of a date, in ISO 8601 with a time: its dimension counts the days since then. Else null."
    )


class DatasetAnswer(BaseModel):
    kind: Literal["points", "images"]
    shape: list[int]
    labels: list[str]
    columns: list[str] = Field(description="The dimensions of points; empty for images.")
    table: list[TableColumnAnswer] = Field(
        description="The columns that the dimensions encode, of a table with categories, dates, whole numbers or "
        "missing values: `given` takes them by name, and CSV, Parquet and `table` of JSON have them. Empty where each "
        "dimension is a column of numbers."
    )
    axes: list[int] = Field(description="The dimensions that a picture of points shows by default; empty for images.")
    prompts: PromptsAnswer | None = Field(description="Null where no model understands prompts.")
    guidances: list[GuidanceMethod]
    controls: list[ControlKind]
    max_n: int
    default_n: int
    ways: list[WayAnswer] = Field(
        description="Every way to ask. Of those with the same `asks` and `hint` the first is the answer where neither "
        "guidance nor model is named; the first with some guidance is the answer where this guidance alone is named."
    )
    qualities: list[QualityAnswer] = Field(description="Empty where no model has a few-step student.")
    models: list[ModelAnswer]


class ModelsAnswer(BaseModel):
    """What may be asked, with the defaults, and what is known of each model."""

    device: str
    seeds: str = Field(description="What the same seed means on this device.")
    samplers: dict[str, SamplerAnswer]
    datasets: dict[str, DatasetAnswer]
