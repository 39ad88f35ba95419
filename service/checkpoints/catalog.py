"""What is served, and what may be asked of it."""

from collections.abc import Iterable, Mapping

from model.checkpoints.control import ControlCheckpoint
from model.checkpoints.denoiser import DenoiserCheckpoint, SamplingConfig, SamplingOverrides
from model.checkpoints.guidance_model import GuidanceModel
from model.conditions import Conditioning
from model.plan import SAMPLERS, variances_of
from service.engine.served_model import Served
from service.requests.schemas import MAX_IMAGES, MAX_POINTS, GuidanceMethod

DEFAULT_ROWS = {"images": 1, "points": 500}
MAX_ROWS = {"images": MAX_IMAGES, "points": MAX_POINTS}
GRADIENT_GUIDANCE: Mapping[Conditioning, GuidanceMethod] = {
    "label": "classifier",
    "text": "clip",
}  # what a gradient of either is called


class Catalog:
    """The models that are served: by name, and by the key that the engine runs them under, a hash of their weights."""

    def __init__(
        self,
        checkpoints: Iterable[DenoiserCheckpoint],
        guidance_models: Iterable[GuidanceModel] = (),
        controls: Iterable[ControlCheckpoint] = (),
    ):
        """A model gets the first guidance model that fits it, for labels and for text, and the first ControlNet that
        fits it for each kind of hint."""
        guidance_models, controls = list(guidance_models), list(controls)
        self.served: Mapping[str, Served] = {
            checkpoint.config.name: Served(
                checkpoint,
                {
                    guidance_model.conditioning: guidance_model
                    for guidance_model in reversed(guidance_models)
                    if guidance_model.fits(checkpoint.config)
                },
                {control.hint: control for control in reversed(controls) if control.fits(checkpoint)},
            )
            for checkpoint in checkpoints
        }
        self.datasets: dict[str, list[DenoiserCheckpoint]] = {}
        for served in self.served.values():
            self.datasets.setdefault(served.checkpoint.config.data.dataset, []).append(served.checkpoint)
        self.by_key: Mapping[str, Served] = {served.key: served for served in self.served.values()}

    def with_prompts(self, dataset: str) -> list[Served]:
        """Models that understand prompts there, the one that answers by default first."""
        found = (self.served[checkpoint.config.name] for checkpoint in self.datasets[dataset])
        return sorted((of for of in found if of.text is not None), key=lambda of: of.rank("text"))

    def guidances(self, dataset: str) -> list[GuidanceMethod]:
        """How a label or a prompt can steer there."""
        checkpoints = self.datasets[dataset]
        found: list[GuidanceMethod] = ["none"]
        if any(checkpoint.config.conditioning is not None for checkpoint in checkpoints):
            found.append("classifier-free")
        return found + [
            name
            for conditioning, name in GRADIENT_GUIDANCE.items()
            if any(conditioning in self.served[checkpoint.config.name].guidance_models for checkpoint in checkpoints)
        ]

    def describe(self, engine: Mapping) -> dict:
        """GET /models: what may be asked, with the defaults, and what is known of each checkpoint.

        `engine` is `Engine.describe()`.
        """
        return {
            "device": engine["device"],
            "seeds": engine["seeds"],
            "datasets": {
                dataset: self._describe_dataset(dataset, engine["models"]) for dataset in sorted(self.datasets)
            },
        }

    def _describe_dataset(self, dataset: str, engine: Mapping) -> dict:
        checkpoints = self.datasets[dataset]
        data = checkpoints[0].config.data
        steering = [
            guidance_model
            for c in checkpoints
            for guidance_model in self.served[c.config.name].guidance_models.values()
        ]
        labels = [of.labels for of in (*(c.config.data for c in checkpoints), *(g.data for g in steering)) if of.labels]
        with_prompts = self.with_prompts(dataset)
        text = with_prompts[0].text if with_prompts else None
        return {
            "kind": data.kind,
            "shape": list(data.shape),
            "labels": list(labels[0]) if labels else [],
            "columns": list(data.columns) if data.kind == "points" else [],
            "prompts": text and {
                "words": list(text.config.vocabulary.words), "examples": list(text.config.vocabulary.examples)
            },
            "guidances": self.guidances(dataset),
            "controls": sorted({kind for c in checkpoints for kind in self.served[c.config.name].controls}),
            "samplers": list(SAMPLERS),
            "max_n": MAX_ROWS[data.kind],
            "default_n": DEFAULT_ROWS[data.kind],
            "models": [self._describe_model(checkpoint, engine) for checkpoint in checkpoints],
        }  # fmt: skip

    def _describe_model(self, checkpoint: DenoiserCheckpoint, engine: Mapping) -> dict:
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
                    **_of_advice(guidance_model.overrides, config.sampling),
                    "default_for_prompts": guidance_model.default_for_prompts,
                    "metrics": guidance_model.metrics,
                }
                for conditioning, guidance_model in self.served[config.name].guidance_models.items()
            ],
            "controlnets": [
                {
                    "name": control.name,
                    "kind": kind,
                    "scale": control.config.control_scale,
                    **_of_advice(control.config.sampling, config.sampling),
                    "framing": control.config.framing,
                    "metrics": control.config.metrics,
                }
                for kind, control in sorted(self.served[config.name].controls.items())
            ],
            "engine": engine.get(self.served[config.name].key),
        }


def _of_advice(advice: SamplingOverrides, sampling: SamplingConfig) -> dict:
    return advice.applied_to(sampling).model_dump(mode="json", include=set(SamplingOverrides.model_fields))
