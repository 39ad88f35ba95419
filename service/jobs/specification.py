"""What a job is to make, with every default filled in."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from service.jobs.distinct_filter import DistinctRule
from service.jobs.job_request import FormatName
from service.jobs.label_plan import LabelPlan
from service.jobs.quality_filter import AcceptRule


class InChunks(BaseModel):
    """Rows, each a function of what is stored, the weights and its number, that are made chunk by chunk."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: int
    rows_per_file: int

    def firsts(self) -> range:
        """The number of each chunk's first row."""
        return range(0, self.rows, self.rows_per_file)

    def rows_of(self, first: int) -> int:
        """How many rows the chunk has that begins there."""
        return min(self.rows_per_file, self.rows - first)

    def part(self, first: int) -> str:
        """What clients call the chunk's files, without the ending."""
        return f"part-{first // self.rows_per_file:05d}"


class Specification(InChunks):
    """Of a data set. Stored as JSON.

    request       a sample request's body without label and n, every default filled in
    labels        the class of each row
    asked_label   as the request had it; None also where it had one for each row, which `labels` knows
    names         of the classes
    accept        the rows that are kept; None keeps all
    distinct      leaves out copies of training rows; None keeps them
    model_key     names the weights
    arithmetic    what computes them: equal where the same numbers come out
    """

    request: dict[str, Any]
    labels: LabelPlan
    asked_label: Any
    names: tuple[str, ...]
    format: FormatName
    reproducible: bool
    accept: AcceptRule | None = None
    distinct: DistinctRule | None = None
    model_key: str
    arithmetic: str

    @property
    def model(self) -> str:
        return str(self.request["model"])

    @property
    def dataset(self) -> str:
        return str(self.request["dataset"])

    @property
    def labelled(self) -> bool:
        """Have rows a class?"""
        return self.labels != LabelPlan()
