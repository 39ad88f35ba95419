"""The catalogue, the ways to ask it, and what the engine is doing → the answer of GET /models."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from model.checkpoints.config import SamplingOverrides
from model.checkpoints.denoiser import CONSISTENCY_SAMPLER, DenoiserConfig
from model.checkpoints.distilled import STEPS
from model.checkpoints.judge import JudgeConfig, judges_in
from model.checkpoints.training_rows import TRAINING_ROWS
from model.conditions import CONTROL_KINDS
from model.measured_columns import DateColumn
from model.sampler_spec import SamplerSpec, variances_of
from model.samplers import SAMPLERS
from model.table import CategoryColumn, LabelColumn, TableColumn
from service.checkpoints.catalog import Catalog
from service.engine.row_functions import ReadyFunction
from service.engine.served_model import Served
from service.engine.snapshot import EngineSnapshot, ReadyModel
from service.requests.guidance_options import guidances
from service.requests.model_choice import GRADIENT_GUIDANCE, models_with_prompts
from service.requests.resolve import Resolved
from service.requests.schemas import DEFAULT_ROWS, MAX_ROWS
from service.requests.ways import QualityWay, Way, Ways
from service.responses.models_answer import (
    ControlNetAnswer,
    DatasetAnswer,
    FewStepAnswer,
    FunctionAnswer,
    GuidanceModelAnswer,
    ModelAnswer,
    ModelEngineAnswer,
    ModelsAnswer,
    PromptsAnswer,
    QualityAnswer,
    SamplerAnswer,
    SamplerOptionAnswer,
    Sampling,
    TableColumnAnswer,
    WayAnswer,
    WayDefaults,
)

SEEDS_ON_CPU = (
    "the same request gives the same bytes on one machine type, version, backend, thread count and settings, "
    "whatever else the server is doing"
)
SEEDS_ELSEWHERE = "the same request gives the same bytes on this device as far as its kernels are deterministic"


def models_answer(
    catalog: Catalog, ways: Mapping[str, Ways], engine: EngineSnapshot, checkpoints: Path
) -> ModelsAnswer:
    """`ways` are the catalogue's, by dataset; judges are looked for in the folder `checkpoints`."""
    judges = _judges(checkpoints)
    return ModelsAnswer(
        device=", ".join(engine.devices),
        seeds=SEEDS_ON_CPU if {one.kind for one in engine.workers} == {"cpu"} else SEEDS_ELSEWHERE,
        samplers={name: _sampler(spec) for name, spec in SAMPLERS.items()},
        datasets={
            name: _dataset(catalog, name, ways[name], engine.models, judges) for name in sorted(catalog.datasets)
        },
    )


def _sampler(spec: SamplerSpec) -> SamplerAnswer:
    options = {
        option.name: SamplerOptionAnswer(
            explanation=option.explanation,
            default=option.default,
            bounds=None if option.bounds is None else list(option.bounds),
            choices=list(option.choices),
        )
        for option in spec.options
    }
    return SamplerAnswer(
        title=spec.title,
        explanation=spec.explanation,
        stochastic=spec.stochastic,
        evaluations_per_step=spec.evaluations_per_step,
        options=options,
    )


def _dataset(
    catalog: Catalog, name: str, ways: Ways, engine: Mapping[str, ReadyModel], judges: Sequence[JudgeConfig]
) -> DatasetAnswer:
    served = catalog.datasets[name]
    data = served[0].checkpoint.config.data
    labels = _labels(served)
    return DatasetAnswer(
        kind=data.kind,
        shape=list(data.shape),
        labels=labels,
        columns=list(data.columns) if data.kind == "points" else [],
        table=[_table_column(column) for column in data.table],
        axes=list(data.axes),
        prompts=_prompts(models_with_prompts(catalog, name)),
        guidances=guidances(catalog, name),
        controls=sorted(kind for kind in CONTROL_KINDS if any(kind in one.controls for one in served)),
        max_n=MAX_ROWS[data.kind],
        default_n=DEFAULT_ROWS[data.kind],
        ways=[_way(way, engine.get(way.resolved.choice.served.key)) for way in ways.ways],
        qualities=[_quality(way, engine.get(way.resolved.choice.served.key)) for way in ways.qualities],
        models=[_model(one, engine.get(one.key), _judged(one, labels, judges)) for one in served],
    )


def _table_column(column: TableColumn) -> TableColumnAnswer:
    return TableColumnAnswer(
        name=column.name,
        kind=column.kind,
        categories=list(column.categories) if isinstance(column, CategoryColumn) else [],
        missing=not isinstance(column, LabelColumn) and column.missing,
        origin=datetime.fromisoformat(column.origin).isoformat() if isinstance(column, DateColumn) else None,
    )


def _labels(served: Sequence[Served]) -> list[str]:
    """Those of the first denoiser that has some, else of the first guidance model."""
    denoisers = [one.checkpoint.config.data for one in served]
    guidance_models = [guide.data for one in served for guide in one.guidance_models.values()]
    return next((list(data.labels) for data in (*denoisers, *guidance_models) if data.labels), [])


def _prompts(understanding: Sequence[Served]) -> PromptsAnswer | None:
    """Words and examples of the model that answers prompts by default."""
    text = understanding[0].text if understanding else None
    if text is None:
        return None
    vocabulary = text.config.vocabulary
    return PromptsAnswer(words=list(vocabulary.words), examples=list(vocabulary.examples))


def _way(way: Way, ready: ReadyModel | None) -> WayAnswer:
    choice, options, guidance, job = way.resolved.choice, way.resolved.options, way.resolved.guidance, way.resolved.job
    return WayAnswer(
        asks=way.asks,
        hint=way.hint,
        guidance=guidance.guidance,
        model=choice.name,
        draws_labels=choice.draws_labels,
        edits=list(way.edits),
        defaults=WayDefaults(
            sampler=options.sampler,
            steps=options.steps,
            guidance_scale=guidance.guidance_scale,
            guidance_interval=None if guidance.guidance_interval is None else list(guidance.guidance_interval),
            eta=choice.advised.eta,
            variance=choice.advised.variance,
            control_scale=None if choice.request.control is None else choice.control_scale,
            resample=way.resample,
        ),
        network_evaluations=job.network_evaluations,
        seconds=_idle_seconds(way.resolved, ready),
    )


def _quality(way: QualityWay, ready: ReadyModel | None) -> QualityAnswer:
    seconds = _idle_seconds(way.resolved, ready)
    return QualityAnswer(
        asks=way.asks,
        hint=way.hint,
        quality=way.quality,
        model=way.resolved.choice.name,
        sampler=way.resolved.options.sampler,
        steps=way.resolved.options.steps,
        network_evaluations=way.resolved.job.network_evaluations,
        milliseconds=None if seconds is None else float(f"{1000 * seconds:.3g}"),
    )


def _idle_seconds(resolved: Resolved, ready: ReadyModel | None) -> float | None:
    """Of `default_n` samples, to three digits; None while the model is not loaded."""
    if ready is None:
        return None
    rows = DEFAULT_ROWS[resolved.choice.config.data.kind]
    passes = (rows * evaluations for evaluations in resolved.job.network_evaluations_by_step)
    return float(f"{sum(map(ready.curve.idle_pass_seconds, passes)):.3g}")


def _judges(checkpoints: Path) -> list[JudgeConfig]:
    try:
        return [config for _, config in judges_in(checkpoints)]
    except OSError:  # the folder cannot be read any more, and the models are in memory
        return []


def _judged(served: Served, labels: Sequence[str], judges: Sequence[JudgeConfig]) -> bool:
    """Is there a judge of its own classes, or of those that a guidance model of its dataset knows?"""
    data = served.checkpoint.config.data
    asked = data.model_copy(update={"labels": data.labels or tuple(labels)})
    return bool(asked.labels) and any(judge.judges(asked) for judge in judges)


def _model(served: Served, ready: ReadyModel | None, judged: bool) -> ModelAnswer:
    checkpoint = served.checkpoint
    config = checkpoint.config
    return ModelAnswer(
        name=config.name,
        conditioning=config.conditioning,
        labels=list(config.data.labels),
        label_shares=list(config.label_shares),
        clusters=len(config.cluster_shares),
        T=checkpoint.schedule.T,
        variances=list(variances_of(config.prediction.learned_variance)),
        defaults=Sampling(**config.sampling.model_dump(mode="json")),
        metrics=dict(config.metrics),
        few_step=_few_step(config),
        reference=0 if checkpoint.reference is None else len(checkpoint.reference.labels),
        farthest=checkpoint.farthest is not None,
        training_rows=checkpoint.folder is not None and (checkpoint.folder / TRAINING_ROWS).is_file(),
        judged=judged,
        guidance_models=[
            GuidanceModelAnswer(
                name=guide.name,
                guidance=GRADIENT_GUIDANCE[conditioning],
                **_advised(guide.overrides, config),
                default_for_prompts=guide.default_for_prompts,
                metrics=dict(guide.metrics),
            )
            for conditioning, guide in served.guidance_models.items()
        ]
        + _weak_network(served),
        controlnets=[
            ControlNetAnswer(
                name=control.name,
                kind=kind,
                scale=control.config.control_scale,
                **_advised(control.config.sampling, config),
                framing=control.config.framing,
                metrics=dict(control.config.metrics),
            )
            for kind, control in sorted(served.controls.items())
        ],
        loaded=ready is not None,
        engine=None if ready is None else _engine(ready),
    )


def _weak_network(served: Served) -> list[GuidanceModelAnswer]:
    if (weak := served.weak) is None:
        return []
    return [
        GuidanceModelAnswer(
            name=weak.name,
            guidance="auto",
            **_advised(weak.overrides, served.checkpoint.config),
            default_for_prompts=False,
            metrics=dict(weak.metrics),
        )
    ]


def _few_step(config: DenoiserConfig) -> FewStepAnswer | None:
    student = config.distilled
    if config.is_consistency_model:
        steps = [1 << power for power in range(config.schedule.T.bit_length())]
        return FewStepAnswer(teacher=None, sampler=CONSISTENCY_SAMPLER, steps=steps, guidance_range=[1, 1])
    if student is None:
        return None
    return FewStepAnswer(
        teacher=student.teacher,
        sampler=config.sampling.sampler,
        steps=list(STEPS),
        guidance_range=list(student.guidance_range),
    )


def _engine(model: ReadyModel) -> ModelEngineAnswer:
    curve = model.curve
    return ModelEngineAnswer(
        backend=model.backend,
        precision=model.precision,
        batch_sizes=[] if curve.any_size else list(curve.sizes),
        network_evaluations_per_second={size: round(rate) for size, rate in curve.rates.items()},
        knee=curve.knee,
        guidance_models={name: _function(ready) for name, ready in model.guidance_models.items()},
        controlnets={name: _function(ready) for name, ready in model.controlnets.items()},
    )


def _function(ready: ReadyFunction) -> FunctionAnswer:
    return FunctionAnswer(backend=ready.backend, batch_sizes=list(ready.sizes))


def _advised(overrides: SamplingOverrides, denoiser: DenoiserConfig) -> dict[str, Any]:
    advised = overrides.applied_to(denoiser.sampling)
    return advised.model_dump(include=set(SamplingOverrides.model_fields))
