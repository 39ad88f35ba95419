"""A data set's request as the models of now resolve it, from which any of its chunks is made."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from model.checkpoints.judge import Judge
from model.checkpoints.training_rows import TrainingRows
from model.noise import MAX_SEED
from service.checkpoints.catalog import Catalog
from service.engine.job import Job, JobFailed, Samples
from service.jobs.chunk import OtherBytes, Written
from service.jobs.distinct_filter import distinct_rows, known_training_rows
from service.jobs.formats.registry import FORMATS
from service.jobs.formats.shard import Shard
from service.jobs.quality_filter import judge_of, kept_rows
from service.jobs.specification import Specification
from service.requests.edit_options import seeds_of
from service.requests.guidance_options import conditions
from service.requests.resolve import Resolved, drawn_clusters, resolve
from service.requests.schemas import SampleRequest


@dataclass(frozen=True, eq=False)
class RowsChunk:
    """`classes` as `LabelPlan.of_rows` gives them; `seeds` are the rows' own."""

    template: "RowsTemplate"
    first: int
    classes: np.ndarray | None
    seeds: np.ndarray
    job: Job

    @property
    def rows(self) -> int:
        return len(self.job)

    @property
    def jobs(self) -> tuple[Job]:
        return (self.job,)

    @property
    def samples(self) -> dict[str, int]:
        return {self.template.specification.dataset: self.rows}

    def written(self, found: Sequence[Samples | JobFailed]) -> Written:
        """Raises JobFailed."""
        (samples,) = found
        if isinstance(samples, JobFailed):
            raise samples
        return self.template.written(self, samples.data)


@dataclass(frozen=True, eq=False)
class RowsTemplate:
    """Nothing of it is for the event loop.

    resolved  a request of one row, which resolves as every row does except for label and seed
    judge     None where it keeps all rows
    training  rows that no sample may be a copy of; None where they may
    """

    specification: Specification
    resolved: Resolved
    judge: Judge | None
    training: TrainingRows | None

    @staticmethod
    def of(catalog: Catalog, checkpoints: Path, specification: Specification) -> "RowsTemplate":
        """It decodes pictures, and loads what filters read, where there are such. Raises OtherBytes, or Problem."""
        if specification.model not in catalog.served:
            raise OtherBytes(f"the model {specification.model} is not there any more")
        label = specification.names[0] if specification.labelled else None
        request = SampleRequest(**specification.request, label=label, n=1)
        resolved = resolve(catalog, request)
        if resolved.job.model != specification.model_key:
            raise OtherBytes(f"the weights of {specification.model} changed: other samples would come")
        resolved = resolved.made_ready()
        judge, rule = None, specification.accept
        if rule is not None:
            data = resolved.checkpoint.config.data
            judge = judge_of(checkpoints, data.model_copy(update={"labels": specification.names}))
            if judge is None or judge.key != rule.key:
                raise OtherBytes(f"the judge {rule.judge} changed or is not there any more: it would keep other rows")
        training = None
        if specification.distinct is not None:
            training = known_training_rows(resolved.checkpoint)
            if training.key != specification.distinct.key:
                raise OtherBytes(f"the training rows of {specification.model} changed: other rows would be left out")
        return RowsTemplate(specification, resolved, judge, training)

    def chunk(self, first: int) -> RowsChunk:
        """The chunk that begins at that row."""
        specification, template = self.specification, self.resolved
        rows = specification.rows_of(first)
        seeds = seeds_of(template.choice.request, (specification.request["seed"] + first) & MAX_SEED, rows)
        classes = specification.labels.of_rows(first, seeds.noise)
        label = drawn_clusters(template.choice, seeds.noise) if classes is None else torch.from_numpy(classes)
        of_rows = conditions(template.guidance, rows, label=label, text=template.conditioned.text)
        if template.hint is not None:
            of_rows = of_rows.with_hints(template.hint.image, template.hint.kind, template.hint.scale)
        job = replace(template.job, seeds=seeds.noise, conditions=of_rows, start=None)
        if template.beginning is not None:
            job = template.begun(job, seeds)
        return RowsChunk(self, first, classes, seeds.own, job)

    def written(self, chunk: RowsChunk, data: np.ndarray) -> Written:
        """Its files, of samples as `Samples.data` has them."""
        data = self.resolved.exact(data)
        rows = np.arange(len(data))
        if self.judge is not None and self.specification.accept is not None and chunk.classes is not None:
            rows = kept_rows(self.judge, data, chunk.classes, self.specification.accept.probability)
        if self.training is not None:
            rows = rows[distinct_rows(self.training, data[rows], self.resolved.checkpoint)]
        config = self.resolved.checkpoint.config.data
        shard = Shard(
            data[rows],
            chunk.first + rows,
            chunk.seeds[rows],
            None if chunk.classes is None else chunk.classes[rows],
            self.specification.names,
            config.columns if config.kind == "points" else (),
            self.specification.request.get("prompt"),
            config.table,
        )
        return Written(dict(FORMATS[self.specification.format].write(shard)), len(rows))
