"""The body of POST /jobs → a specification; what does not fit is refused."""

import math
from collections.abc import Sequence
from pathlib import Path

from service.checkpoints.catalog import Catalog
from service.engine.job import EngineStopped
from service.engine.served_model import Served
from service.engine.snapshot import EngineSnapshot
from service.http.problems import invalid
from service.jobs.arithmetic import arithmetic_of
from service.jobs.distinct_filter import DistinctRule, known_training_rows
from service.jobs.formats.registry import formats_of
from service.jobs.job_request import AS_TRAINED, BALANCED, MAX_ROWS, JobRequest
from service.jobs.label_plan import LabelPlan, even_counts
from service.jobs.quality_filter import AcceptRule, judge_of
from service.jobs.specification import Specification
from service.requests.labels import class_number, class_numbers, index_of
from service.requests.model_choice import choose
from service.requests.resolve import Resolved, resolve
from service.requests.schemas import SampleRequest

CHUNK_SECONDS = 5.0  # of the device: a kill costs no more
MOST_VALUES = 2**24  # numbers of a chunk's rows, which are held in memory several times
MOST_ROWS = 2**18  # of a chunk, where nobody asks for more
MOST_FILES = 100_000
OF_PICTURES = ("zoom", "previews", "noisy_previews")
OWN_FIELDS = {"n", "label", "format", "rows_per_file", "accept", "distinct", "webhook", "reproducible"}


def accept(catalog: Catalog, checkpoints: Path, engine: EngineSnapshot, body: JobRequest) -> Specification:
    """The job in full. It may decode a picture and load a judge: not for the event loop.

    Raises Problem (404, 422) that says what there is, or EngineStopped while the model is not ready.
    """
    _refuse_other_fields(body)
    rows = _rows(body)
    label, whole_plan = _example_label(catalog, body)
    resolved = _resolved(catalog, body, label)
    data = resolved.checkpoint.config.data
    if body.format not in formats_of(data.kind):
        raise invalid("format", f"one of {', '.join(formats_of(data.kind))} for {data.kind}", body.format)
    names = resolved.choice.label_names
    ready = engine.models.get(resolved.job.model)
    if ready is None:
        raise EngineStopped(f"the model {resolved.choice.name} is not ready")
    plan = _plan(body, resolved, names, rows) if whole_plan else LabelPlan()
    most = min(MOST_ROWS, max(1, MOST_VALUES // math.prod(data.shape)))
    at_once = CHUNK_SECONDS * ready.curve.rate / resolved.job.network_evaluations
    per_file = body.rows_per_file or min(rows, most, 2 ** max(0, int(math.log2(at_once))))
    if per_file * math.prod(data.shape) > MOST_VALUES:
        raise invalid("rows_per_file", f"at most {MOST_VALUES // math.prod(data.shape):,} here", per_file)
    if -(-rows // per_file) > MOST_FILES:
        raise invalid("rows_per_file", f"at least {-(-rows // MOST_FILES):,} for so many rows", per_file)
    return Specification(
        request={name: value for name, value in resolved.parameters.items() if name in SampleRequest.model_fields},
        labels=plan,
        asked_label=None if isinstance(body.label, list) else body.label,
        names=tuple(names) if plan != LabelPlan() else (),
        format=body.format,
        rows=rows,
        rows_per_file=min(per_file, rows),
        reproducible=body.reproducible,
        accept=_rule(body, resolved, plan, checkpoints),
        distinct=DistinctRule(key=known_training_rows(resolved.checkpoint).key) if body.distinct else None,
        model_key=resolved.job.model,
        arithmetic=arithmetic_of(engine, resolved.job.model),
    )


def model_of(catalog: Catalog, body: JobRequest) -> Served:
    """The model that makes the job's rows. Raises Problem (404, 422)."""
    _refuse_other_fields(body)
    _rows(body)
    return _resolved(catalog, body, _example_label(catalog, body)[0]).choice.served


def _refuse_other_fields(body: JobRequest) -> None:
    """Of a request, those that do not apply to jobs."""
    for field in OF_PICTURES:
        if getattr(body, field) is not None:
            raise invalid(field, "does not apply to jobs", getattr(body, field))
    _refuse_edits(body)


def _rows(body: JobRequest) -> int:
    told = len(body.label) if isinstance(body.label, list) else None
    if isinstance(body.label, dict):
        told = sum(body.label.values())
    if told is not None and body.n not in (None, told):
        what = "counts that add up to" if isinstance(body.label, dict) else "labels, of which there are"
        raise invalid("n", f"{body.n:,} rows but {what} {told:,}; leave n away, or make them agree")
    rows = body.n if told is None else told
    if rows is None:
        raise invalid("n", f"needed: how many rows, 1 … {MAX_ROWS:,}")
    if not 1 <= rows <= MAX_ROWS:
        raise invalid("label", f"for 1 … {MAX_ROWS:,} rows in all", rows)
    return rows


def _example_label(catalog: Catalog, body: JobRequest) -> tuple[int | str | None, bool]:
    """A label that resolves as those of all rows do, and whether rows have labels of their own. Beside a prompt one
    label is a word of it."""
    label = body.label
    if isinstance(label, str) and label in (BALANCED, AS_TRAINED) and body.dataset in catalog.datasets:
        choice = choose(catalog, SampleRequest(dataset=body.dataset, model=body.model, label=0))
        if index_of(label, choice.label_names) is None:  # no class is called that
            if label == AS_TRAINED:
                return None, True
            label = {}
    several = isinstance(label, list | dict)
    if several and body.prompt is not None:
        raise invalid("label", "beside a prompt one class, for all rows")
    if isinstance(label, dict):
        return next((name for name, count in label.items() if count), 0), True
    return (label[0] if label else None) if isinstance(label, list) else label, body.prompt is None


def _resolved(catalog: Catalog, body: JobRequest, label: int | str | None) -> Resolved:
    fields = body.model_dump(exclude_unset=True, exclude=OWN_FIELDS)
    request = SampleRequest(**fields, label=label, n=1)
    return resolve(catalog, request).made_ready()


def _refuse_edits(body: JobRequest) -> None:
    """Raises Problem (422) for what makes no data set."""
    for field in ("seed_to", "mix"):
        if getattr(body, field) is not None:
            raise invalid(field, "not in jobs: a row of a walk depends on how many rows there are; ask POST /sample")
    if body.asks_inversion:
        raise invalid(
            "init.method", "noise in jobs: inversion draws none, so all rows of a class would be the same picture"
        )
    if body.init is not None and body.init.strength == 0:
        raise invalid("init.strength", "above 0 in jobs: else every row would be the picture itself")
    if body.variations_of is not None and body.variations_of.amount == 0:
        raise invalid("variations_of.amount", "above 0 in jobs: else every row would be the same sample")


def _plan(body: JobRequest, resolved: Resolved, names: Sequence[str], rows: int) -> LabelPlan:
    label = body.label
    if isinstance(label, list):
        return LabelPlan(classes=tuple(class_numbers(label, names, rows)))
    if isinstance(label, dict):
        return LabelPlan(counts=_counts(label, names))
    drawn = resolved.conditioned.drawn
    if label is not None and index_of(label, names) is None:
        if label == BALANCED:
            return LabelPlan(counts=even_counts(rows, len(names)))
        if not drawn:
            raise invalid("label", f"{resolved.choice.name} does not know its training proportions", label)
    if label is None or drawn:
        return LabelPlan(shares=resolved.choice.config.label_shares) if drawn else LabelPlan()
    number = class_number(label, names)
    return LabelPlan(counts=tuple(rows * (number == index) for index in range(len(names))))


def _rule(body: JobRequest, resolved: Resolved, plan: LabelPlan, checkpoints: Path) -> AcceptRule | None:
    if body.accept is None:
        return None
    data = resolved.checkpoint.config.data
    if data.kind == "points":
        raise invalid("accept", "applies to images: there are no judges of points", body.accept)
    if plan == LabelPlan():
        raise invalid("accept", "applies to rows with labels: a judge compares with what was asked", body.accept)
    judge = judge_of(checkpoints, data.model_copy(update={"labels": tuple(resolved.choice.label_names)}))
    if judge is None:
        raise invalid("accept", f"there is no judge of {data.dataset} among the checkpoints", body.accept)
    return AcceptRule(judge=judge.config.name, key=judge.key, probability=body.accept["judge"])


def _counts(asked: dict[str, int], names: Sequence[str]) -> tuple[int, ...]:
    counts = [0] * len(names)
    known: dict[int, str] = {}
    for name, count in asked.items():
        number = class_number(name, names)
        if number in known:
            raise invalid("label", f"{known[number]!r} and {name!r} are the same class")
        known[number], counts[number] = name, count
    return tuple(counts)
