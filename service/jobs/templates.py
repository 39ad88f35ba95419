"""A claimed job, of either kind, as the models of now resolve it."""

from collections.abc import Collection
from pathlib import Path

from service.checkpoints.catalog import Catalog
from service.engine.job import EngineStopped
from service.engine.snapshot import EngineSnapshot
from service.jobs.arithmetic import arithmetic_of
from service.jobs.batch_specification import BatchSpecification
from service.jobs.batch_template import BatchTemplate
from service.jobs.chunk import OtherBytes, Template
from service.jobs.results import Results
from service.jobs.rows_template import RowsTemplate
from service.jobs.specification import InChunks, Specification
from service.jobs.store_records import JobRecord


def specification_of(record: JobRecord) -> InChunks:
    """Raises ValidationError where another version of this service wrote it otherwise."""
    kind = Specification if record.input_file is None else BatchSpecification
    return kind.model_validate_json(record.specification)


def template_of(
    record: JobRecord,
    specification: InChunks,
    catalog: Catalog,
    engine: EngineSnapshot,
    checkpoints: Path,
    results: Results,
    askable: Collection[str],
) -> Template:
    """Not for the event loop. `askable` are the keys of models that can be asked now.

    Raises OtherBytes or Problem where the job cannot go on, EngineStopped or OSError where it cannot now.
    """
    if isinstance(specification, BatchSpecification):
        return BatchTemplate.of(catalog, askable, results, specification, int(record.created))
    assert isinstance(specification, Specification)
    template = RowsTemplate.of(catalog, checkpoints, specification)
    if specification.model_key not in engine.keys:
        raise EngineStopped(f"the model {specification.model} is not ready")
    now = arithmetic_of(engine, specification.model_key)
    if specification.reproducible and now != specification.arithmetic:
        raise OtherBytes(
            f"it was begun by {specification.arithmetic} and would go on by {now}: other bytes would come; "
            "ask with `reproducible: false` to go on in such a case"
        )
    return template
