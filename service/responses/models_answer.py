"""The catalogue → the answer of GET /models: what may be asked, with the defaults, and what is known of each model."""

from collections.abc import Mapping, Sequence
from typing import Any

from model.checkpoints.config import SamplingOverrides
from model.checkpoints.denoiser import DenoiserConfig
from model.sampler_spec import SamplerSpec, variances_of
from model.samplers import SAMPLERS
from service.checkpoints.catalog import Catalog
from service.engine.served_model import Served
from service.engine.snapshot import EngineSnapshot, ReadyModel
from service.requests.choice import GRADIENT_GUIDANCE, models_with_prompts
from service.requests.refusals import guidances
from service.requests.schemas import DEFAULT_ROWS, MAX_ROWS

SEEDS_ON_CPU = (
    "the same request gives the same bytes on one machine type, version, thread count and settings, "
    "whatever else the server is doing"
)
SEEDS_ELSEWHERE = "the same request gives the same bytes on this device as far as its kernels are deterministic"


def models_answer(catalog: Catalog, engine: EngineSnapshot) -> dict[str, Any]:
    only_cpus = set(engine.devices) == {"cpu"}
    return {
        "device": ", ".join(engine.devices),
        "seeds": SEEDS_ON_CPU if only_cpus else SEEDS_ELSEWHERE,
        "samplers": {name: _sampler(spec) for name, spec in SAMPLERS.items()},
        "datasets": {name: _dataset(catalog, name, engine.models) for name in sorted(catalog.datasets)},
    }


def _sampler(spec: SamplerSpec) -> dict[str, Any]:
    """What a user has to know to choose it."""
    return {
        "title": spec.title,
        "explanation": spec.explanation,
        "stochastic": spec.stochastic,
        "evaluations_per_step": spec.evaluations_per_step,
        "options": {
            option.name: {
                "explanation": option.explanation,
                "default": option.default,
                "bounds": option.bounds and list(option.bounds),
                "choices": list(option.choices),
            }
            for option in spec.options
        },
    }


def _dataset(catalog: Catalog, name: str, engine: Mapping[str, ReadyModel]) -> dict[str, Any]:
    served = catalog.datasets[name]
    data = served[0].checkpoint.config.data
    prompted = models_with_prompts(catalog, name)
    text = prompted[0].text if prompted else None
    return {
        "kind": data.kind,
        "shape": list(data.shape),
        "labels": _labels(served),
        "columns": list(data.columns) if data.kind == "points" else [],
        "prompts": text and {
            "words": list(text.config.vocabulary.words), "examples": list(text.config.vocabulary.examples)
        },
        "guidances": guidances(catalog, name),
        "controls": sorted({kind for one in served for kind in one.controls}),
        "max_n": MAX_ROWS[data.kind],
        "default_n": DEFAULT_ROWS[data.kind],
        "models": [_model(one, engine) for one in served],
    }  # fmt: skip


def _labels(served: Sequence[Served]) -> list[str]:
    """Those of the first denoiser that has some, else of the first guidance model."""
    denoisers = [one.checkpoint.config.data for one in served]
    guidance_models = [guide.data for one in served for guide in one.guidance_models.values()]
    return next((list(data.labels) for data in (*denoisers, *guidance_models) if data.labels), [])


def _model(served: Served, engine: Mapping[str, ReadyModel]) -> dict[str, Any]:
    checkpoint = served.checkpoint
    config = checkpoint.config
    return {
        "name": config.name,
        "conditioning": config.conditioning,
        "labels": list(config.data.labels),
        "T": checkpoint.schedule.T,
        "variances": list(variances_of(config.prediction.learned_variance)),
        "defaults": config.sampling.model_dump(mode="json"),
        "metrics": config.metrics,
        "reference": 0 if checkpoint.reference is None else len(checkpoint.reference.labels),
        "guidance_models": [
            {
                "name": guidance_model.name,
                "guidance": GRADIENT_GUIDANCE[conditioning],
                **_advised(guidance_model.overrides, config),
                "default_for_prompts": guidance_model.default_for_prompts,
                "metrics": guidance_model.metrics,
            }
            for conditioning, guidance_model in served.guidance_models.items()
        ],
        "controlnets": [
            {
                "name": control.name,
                "kind": kind,
                "scale": control.config.control_scale,
                **_advised(control.config.sampling, config),
                "framing": control.config.framing,
                "metrics": control.config.metrics,
            }
            for kind, control in sorted(served.controls.items())
        ],
        "engine": None if (ready := engine.get(served.key)) is None else _ready(ready),
    }


def _ready(model: ReadyModel) -> dict[str, Any]:
    curve = model.curve
    return {
        "precision": model.precision,
        "batch_sizes": list(curve.sizes),
        "network_evaluations_per_second": {size: round(rate) for size, rate in curve.rates.items()},
        "knee": curve.knee,
        "guidance_models": dict(model.guidance_models),
        "controlnets": dict(model.controlnets),
    }


def _advised(overrides: SamplingOverrides, denoiser: DenoiserConfig) -> dict[str, Any]:
    advised = overrides.applied_to(denoiser.sampling)
    return advised.model_dump(mode="json", include=set(SamplingOverrides.model_fields))
