"""What a job is to make, with every default filled in, and any of its chunks as a job for the engine."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict

from model.conditions import NO_LABEL
from model.noise import MAX_SEED, sample_seeds
from service.checkpoints.catalog import Catalog
from service.engine.job import Job
from service.jobs.formats.registry import FORMATS
from service.jobs.formats.shard import Shard
from service.jobs.job_request import FormatName
from service.jobs.label_plan import LabelPlan
from service.requests.control_image import hint_of
from service.requests.guidance_options import conditions
from service.requests.resolve import Resolved, resolve
from service.requests.schemas import SampleRequest


class Specification(BaseModel):
    """Stored as JSON. Row i is a function of this, the weights, and i.

    request       a sample request's body without label and n, every default filled in
    labels        the class of each row
    asked_label   as the request had it
    names         of the classes
    model_key     names the weights
    arithmetic    what computes them: equal where the same numbers come out
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    request: dict[str, Any]
    labels: LabelPlan
    asked_label: Any
    names: tuple[str, ...]
    format: FormatName
    rows: int
    rows_per_file: int
    reproducible: bool
    model_key: str
    arithmetic: str

    @property
    def model(self) -> str:
        return str(self.request["model"])

    @property
    def dataset(self) -> str:
        return str(self.request["dataset"])

    def firsts(self) -> range:
        """The number of each chunk's first row."""
        return range(0, self.rows, self.rows_per_file)

    def rows_of(self, first: int) -> int:
        """How many rows the chunk has that begins there."""
        return min(self.rows_per_file, self.rows - first)

    @property
    def labelled(self) -> bool:
        """Have rows a class?"""
        return self.labels != LabelPlan()

    def part(self, first: int) -> str:
        """What clients call the chunk's files, without the ending."""
        return f"part-{first // self.rows_per_file:05d}"


@dataclass(frozen=True, eq=False)
class Chunk:
    """Rows first … first + n of a job. `classes` as `LabelPlan.of_rows` gives them."""

    first: int
    classes: np.ndarray | None
    job: Job

    def shard(self, specification: Specification, data: np.ndarray, columns: Sequence[str]) -> Shard:
        """What the rows are in a file; `data` as `Samples.data` has it."""
        return Shard(
            data,
            self.first + np.arange(len(self.job)),
            self.job.seeds,
            self.classes,
            specification.names,
            columns,
            specification.request.get("prompt"),
        )

    def written(self, specification: Specification, data: np.ndarray, columns: Sequence[str]) -> dict[str, bytes]:
        """The content of its files, by the ending of their names."""
        return dict(FORMATS[specification.format].write(self.shard(specification, data, columns)))


def template_of(catalog: Catalog, specification: Specification) -> Resolved:
    """A request of one row that resolves as every row does, but for label and seed. It decodes a hint, where there is
    one: not for the event loop. Raises Problem where the models do not do that any more."""
    label = specification.names[0] if specification.labelled else None
    request = SampleRequest(**specification.request, label=label, n=1)
    resolved = resolve(catalog, request)
    control = resolved.choice.control
    if request.control is not None and control is not None:
        resolved = resolved.with_hint(hint_of(request.control, resolved.choice.control_scale, control.config))
    return resolved


def chunk_of(template: Resolved, specification: Specification, first: int) -> Chunk:
    """The chunk that begins at that row; not for the event loop."""
    rows = specification.rows_of(first)
    seeds = sample_seeds((specification.request["seed"] + first) & MAX_SEED, rows)
    classes = specification.labels.of_rows(first, seeds)
    label = NO_LABEL if classes is None else torch.from_numpy(classes)
    of_rows = conditions(template.guidance, rows, label=label, text=template.conditioned.text)
    if template.hint is not None:
        of_rows = of_rows.with_hints(template.hint.image, template.hint.kind, template.hint.scale)
    return Chunk(first, classes, replace(template.job, seeds=seeds, conditions=of_rows))
