"""What is served, and what may be asked of it."""

from collections.abc import Iterable, Mapping

from model.checkpoints.control import ControlCheckpoint
from model.checkpoints.denoiser import Advice, Checkpoint, SamplingConfig
from model.checkpoints.guidance_model import Guide
from model.conditions import Asked
from model.plan import SAMPLERS, variances_of
from service.engine.served_model import Served
from service.requests.schemas import MAX_IMAGES, MAX_POINTS, Guidance

DEFAULT_ROWS = {"images": 1, "points": 500}
MAX_ROWS = {"images": MAX_IMAGES, "points": MAX_POINTS}
BY_GRADIENT: Mapping[Asked, Guidance] = {"label": "classifier", "text": "clip"}  # what a gradient of either is called


class Catalog:
    """The models that are served: by name, and by the key that the engine runs them under, a hash of their weights."""

    def __init__(
        self,
        checkpoints: Iterable[Checkpoint],
        guides: Iterable[Guide] = (),
        controls: Iterable[ControlCheckpoint] = (),
    ):
        """A model is steered by the first of `guides` that fits it, for labels and for text, and of `controls`, for
        each kind of hint."""
        guides, controls = list(guides), list(controls)
        self.served: Mapping[str, Served] = {
            checkpoint.config.name: Served(
                checkpoint,
                {guide.steers: guide for guide in reversed(guides) if guide.fits(checkpoint.config)},
                {control.hint: control for control in reversed(controls) if control.fits(checkpoint)},
            )
            for checkpoint in checkpoints
        }
        self.datasets: dict[str, list[Checkpoint]] = {}
        for served in self.served.values():
            self.datasets.setdefault(served.checkpoint.config.data.dataset, []).append(served.checkpoint)
        self.by_key: Mapping[str, Served] = {served.key: served for served in self.served.values()}

    def understanding(self, dataset: str) -> list[Served]:
        """Models that understand prompts there, the one that answers by default first."""
        found = (self.served[checkpoint.config.name] for checkpoint in self.datasets[dataset])
        return sorted((of for of in found if of.text is not None), key=lambda of: of.rank("text"))

    def guidances(self, dataset: str) -> list[Guidance]:
        """How a label or a prompt can steer there."""
        checkpoints = self.datasets[dataset]
        found: list[Guidance] = ["none"]
        if any(checkpoint.config.reads is not None for checkpoint in checkpoints):
            found.append("classifier-free")
        return found + [
            name
            for steers, name in BY_GRADIENT.items()
            if any(steers in self.served[checkpoint.config.name].guides for checkpoint in checkpoints)
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
        steering = [guide for c in checkpoints for guide in self.served[c.config.name].guides.values()]
        labels = [of.labels for of in (*(c.config.data for c in checkpoints), *(g.data for g in steering)) if of.labels]
        understanding = self.understanding(dataset)
        text = understanding[0].text if understanding else None
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

    def _describe_model(self, checkpoint: Checkpoint, engine: Mapping) -> dict:
        config = checkpoint.config
        return {
            "name": config.name,
            "reads": config.reads,
            "labels": list(config.data.labels),
            "T": checkpoint.schedule.T,
            "variances": list(variances_of(config.prediction.learned_variance)),
            "defaults": config.sampling.model_dump(mode="json"),
            "metrics": config.metrics,
            "reference": 0 if checkpoint.reference is None else len(checkpoint.reference.labels),
            "steered_by": [
                {
                    "name": guide.name,
                    "guidance": BY_GRADIENT[steers],
                    **_of_advice(guide.advice, config.sampling),
                    "preferred": guide.preferred,
                    "metrics": guide.metrics,
                }
                for steers, guide in self.served[config.name].guides.items()
            ],
            "follows": [
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


def _of_advice(advice: Advice, sampling: SamplingConfig) -> dict:
    return advice.over(sampling).model_dump(mode="json", include=set(Advice.model_fields))
