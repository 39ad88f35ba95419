"""The body of POST /jobs: shapes and ranges."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StrictInt, model_validator

from service.jobs.formats.registry import FORMATS
from service.requests.edit_schemas import Seed, Share
from service.requests.leniency import as_meant, whole_numbers
from service.requests.schemas import ControlRequest, EditFields, Label, SampleFields, Shares

MAX_ROWS = 10_000_000
MAX_ROWS_PER_FILE = 1_000_000
FormatName = Literal["parquet", "webdataset", "imagefolder", "npy", "csv"]
BALANCED, AS_TRAINED = "balanced", "as trained"
Count = Annotated[StrictInt, Field(ge=0, le=MAX_ROWS)]


class JobRequest(EditFields, SampleFields):
    """A sample request of many rows, and the files that they are to become."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {"dataset": "mnist", "label": "balanced", "n": 50_000},
                {"dataset": "mnist", "label": {"7": 300, "8": 200}, "format": "webdataset"},
            ]
        },
    )

    n: int | None = Field(
        None, ge=1, le=MAX_ROWS,
        description=f"How many rows: 1 … {MAX_ROWS:,}. Default: as many as labels or counts say; else it is needed.",
    )  # fmt: skip
    label: Label | Annotated[list[Label], Field(fail_fast=True)] | dict[str, Count] | None = Field(
        None, description="A class; a list of them, one for each row; counts by class, such as `{\"7\": 300}`; "
        f"`{BALANCED}`: each class equally often; `{AS_TRAINED}`: drawn from the training proportions by each row's "
        "seed. Counts are spread evenly over the rows. Default: as in POST /sample.",
    )  # fmt: skip
    control: ControlRequest | None = Field(None, description="A picture that all samples follow, as in POST /sample.")
    seed_to: Seed | None = Field(None, description="Refused: rows of a walk depend on how many there are.")
    mix: Shares | Share | None = Field(None, description="Refused, as `seed_to`.")
    format: FormatName = Field(
        "parquet",
        description="What the files are. " + "; ".join(f"`{name}`: {one.loads}" for name, one in FORMATS.items()),
    )
    rows_per_file: int | None = Field(
        None, ge=1, le=MAX_ROWS_PER_FILE,
        description="Rows of a file; a kill costs at most as many. Default: about five seconds' work.",
    )  # fmt: skip
    accept: dict[Literal["judge"], Annotated[float, Field(gt=0, le=1)]] | None = Field(
        None, min_length=1, examples=[{"judge": 0.9}],
        description="Keeps only rows that a judge, a classifier of real images, reads as asked with that probability; "
        "`rows_dropped` counts the others. For images with labels whose judge is among the checkpoints.",
    )  # fmt: skip
    distinct: bool = Field(
        False,
        description="Leaves out rows that are nearer to a training row than 99 % of real rows that were held out; "
        "`rows_dropped` counts them. For models that keep their training rows (`python -m training training-rows`).",
    )
    webhook: str | None = Field(
        None, max_length=2000, examples=["https://a.example/told"],
        description="An address that gets the job as JSON when it is done, failed or cancelled; of a host that the "
        "operator has allowed. Tried several times; signed by HMAC as in Standard Webhooks.",
    )  # fmt: skip
    reproducible: bool = Field(
        True,
        description="Fail rather than go on where the bytes would be others, as on another machine. Other weights fail "
        "the job in any case.",
    )

    @model_validator(mode="before")
    @classmethod
    def _as_meant(cls, fields: Any) -> Any:
        fields = as_meant(fields)
        if isinstance(fields, dict) and isinstance(counts := fields.get("label"), dict):
            counts = whole_numbers(counts)
            wrong = {name: count for name, count in counts.items() if not _is_count(count)}
            fields["label"] = dict(list(wrong.items())[:1]) or counts  # an error for each would take seconds
        return fields


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MAX_ROWS
