"""The checkpoints on disk → what may be asked of the service."""

import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog

from model.checkpoint import Checkpoint, CheckpointError, Config, load_checkpoint, read_role
from model.classifier import ClassifierCheckpoint, load_classifier
from model.denoiser import NO_LABEL
from model.noise import sample_seeds
from model.plan import SAMPLERS, Sampler, Variance, cached_plan
from service.engine.job import Job
from service.problems import Problem, invalid
from service.schemas import MAX_IMAGES, MAX_POINTS, Guidance, SampleRequest

log = structlog.get_logger(__name__)

DEFAULT_ROWS = {"images": 1, "points": 500}
MAX_ROWS = {"images": MAX_IMAGES, "points": MAX_POINTS}
DRAWN_SEEDS = 2**32  # short enough to be read aloud, and exact in JavaScript


@dataclass(frozen=True, eq=False)
class Resolved:
    """A request, every default filled in."""

    checkpoint: Checkpoint
    job: Job
    seed: int
    steps: int
    sampler: Sampler
    eta: float | None
    variance: Variance | None
    guidance: Guidance
    guidance_scale: float | None
    labels: list[str] | None  # names, one a sample

    @property
    def parameters(self) -> dict:
        """What makes these samples, but for the label: with it the same request, as the answer names it."""
        return {
            "model": self.checkpoint.config.name,
            "dataset": self.checkpoint.config.data.dataset,
            "sampler": self.sampler,
            "steps": self.steps,
            "eta": self.eta,
            "variance": self.variance,
            "guidance": self.guidance,
            "guidance_scale": self.guidance_scale,
            "seed": self.seed,
        }


class Catalog:
    """The models that are served, by name."""

    def __init__(self, checkpoints: Iterable[Checkpoint], classifiers: Iterable[ClassifierCheckpoint] = ()):
        """`classifiers` by the name of the model they steer: of those that fit it, the first."""
        self.models: Mapping[str, Checkpoint] = {checkpoint.config.name: checkpoint for checkpoint in checkpoints}
        classifiers = list(classifiers)
        fitting = {name: [c for c in classifiers if c.fits(model.config)] for name, model in self.models.items()}
        self.classifiers: Mapping[str, ClassifierCheckpoint] = {name: of[0] for name, of in fitting.items() if of}
        self.datasets: dict[str, list[Checkpoint]] = {}
        for checkpoint in self.models.values():
            self.datasets.setdefault(checkpoint.config.data.dataset, []).append(checkpoint)

    def resolve(self, request: SampleRequest) -> Resolved:
        """Which model answers, and with what. Raises Problem (404, 422) that lists what there is."""
        checkpoint = self._choose(request)
        config = checkpoint.config
        n = _count(request, config.data.kind)
        classifier = self.classifiers.get(config.name)
        guidance, scale = _guidance(request, config, classifier)
        names = config.data.labels
        if not names and guidance == "classifier":
            names = classifier.config.data.labels
        labels = None if request.label is None else _labels(request.label, names, n)

        T = checkpoint.schedule.T
        steps = request.steps if request.steps is not None else config.sampling.steps
        if not 1 <= steps <= T:
            raise invalid("steps", f"1 … {T} for {config.name}", request.steps)
        sampler = request.sampler or config.sampling.sampler
        eta, variance = request.eta, request.variance
        if eta is not None and sampler != "ddim":
            raise invalid("eta", f"applies to the sampler ddim only; the sampler is {sampler}", eta)
        if variance is not None and sampler != "ddpm":
            raise invalid("variance", f"applies to the sampler ddpm only; the sampler is {sampler}", variance)
        if sampler == "ddim" and eta is None:
            eta = config.sampling.eta
        if sampler == "ddpm" and variance is None:
            variance = config.sampling.variance
        if variance == "learned" and not config.prediction.learned_variance:
            raise invalid("variance", f"{config.name} has learned none: fixed-small or fixed-large", variance)
        if request.zoom is not None and config.data.kind != "images":
            raise invalid("zoom", "applies to images only", request.zoom)

        seed = request.seed if request.seed is not None else secrets.randbelow(DRAWN_SEEDS)
        plan = cached_plan(checkpoint.schedule, sampler, steps, eta=eta or 0.0, variance=variance or "fixed-small")
        numbers = np.full(n, NO_LABEL, dtype=np.int64) if labels is None else np.array(labels, dtype=np.int64)
        of_classifier = scale if guidance == "classifier" else 0.0
        classifier_free = scale if guidance == "classifier-free" else float(labels is not None)
        job = Job(config.name, plan, sample_seeds(seed, n), numbers, classifier_free, of_classifier)
        return Resolved(
            checkpoint,
            job,
            seed,
            steps,
            sampler,
            eta,
            variance,
            guidance,
            None if guidance == "none" else scale,
            None if labels is None else [names[label] for label in labels],
        )

    def _choose(self, request: SampleRequest) -> Checkpoint:
        """The pinned checkpoint; else one with labels if a label is given, one without if not, as far as there is."""
        if request.dataset not in self.datasets:
            raise Problem(
                404, f"there is no dataset {request.dataset!r}; there are: {', '.join(sorted(self.datasets))}"
            )
        candidates = self.datasets[request.dataset]
        if request.model is not None:
            for checkpoint in candidates:
                if checkpoint.config.name == request.model:
                    return checkpoint
            names = ", ".join(checkpoint.config.name for checkpoint in candidates)
            raise Problem(404, f"there is no model {request.model!r} of {request.dataset}; there are: {names}")
        if request.guidance == "classifier":
            candidates = [c for c in candidates if c.config.name in self.classifiers]
            if not candidates:
                guidances = ", ".join(self.guidances(request.dataset))
                raise invalid("guidance", f"one of {guidances}: {request.dataset} has no classifier", "classifier")
        conditional = request.label is not None and request.guidance != "classifier"
        return next((c for c in candidates if bool(c.config.data.labels) == conditional), candidates[0])

    def guidances(self, dataset: str) -> list[Guidance]:
        """How a label can steer there."""
        checkpoints = self.datasets[dataset]
        found: list[Guidance] = ["none"]
        if any(checkpoint.config.data.labels for checkpoint in checkpoints):
            found.append("classifier-free")
        if any(checkpoint.config.name in self.classifiers for checkpoint in checkpoints):
            found.append("classifier")
        return found

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
        steering = [self.classifiers[c.config.name] for c in checkpoints if c.config.name in self.classifiers]
        labels = [one.config.data.labels for one in (*checkpoints, *steering) if one.config.data.labels]
        return {
            "kind": data.kind,
            "shape": list(data.shape),
            "labels": list(labels[0]) if labels else [],
            "guidances": self.guidances(dataset),
            "samplers": list(SAMPLERS),
            "max_n": MAX_ROWS[data.kind],
            "default_n": DEFAULT_ROWS[data.kind],
            "models": [self._describe_model(checkpoint, engine) for checkpoint in checkpoints],
        }

    def _describe_model(self, checkpoint: Checkpoint, engine: Mapping) -> dict:
        config, classifier = checkpoint.config, self.classifiers.get(checkpoint.config.name)
        learned = ["learned"] if config.prediction.learned_variance else []
        return {
            "name": config.name,
            "labels": list(config.data.labels),
            "T": checkpoint.schedule.T,
            "variances": ["fixed-small", "fixed-large", *learned],
            "defaults": config.sampling.model_dump(mode="json"),
            "metrics": config.metrics,
            "classifier": classifier and _describe_classifier(classifier),
            "engine": engine.get(config.name),
        }


def load_catalog(folder: Path) -> Catalog:
    """Every checkpoint of the folder that can be served. One that is broken is named in the log and left out."""
    checkpoints: dict[str, Checkpoint] = {}
    classifiers: dict[str, ClassifierCheckpoint] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        role = read_role(path)
        if not path.is_dir() or role not in ("denoiser", "classifier", None):  # a judge, say
            continue
        try:  # what has no role is broken, and says so when it is loaded
            loaded = load_classifier(path) if role == "classifier" else load_checkpoint(path)
        except CheckpointError as error:
            log.error("checkpoint left out", checkpoint=path.name, reason=str(error))
            continue
        except Exception as error:  # whatever a broken folder makes torch or a parser raise, the others serve
            log.error("checkpoint left out", checkpoint=path.name, reason=f"{type(error).__name__}: {error}")
            continue
        name = loaded.config.name
        if name in checkpoints or name in classifiers:
            log.error("checkpoint left out", checkpoint=path.name, reason="another has its name in config.json")
        elif role == "classifier":
            classifiers[name] = loaded
        else:
            checkpoints[name] = loaded
    return Catalog(checkpoints.values(), classifiers.values())


def _count(request: SampleRequest, kind: str) -> int:
    given = len(request.label) if isinstance(request.label, list) else None
    if given == 0:
        raise invalid("label", "an empty list; give one label for each sample, or none at all", request.label)
    if None not in (given, request.n) and given != request.n:
        raise invalid(
            "n", f"{request.n} samples but {given} labels; leave n away, or give one label for all", request.n
        )
    n = request.n if request.n is not None else given or DEFAULT_ROWS[kind]
    if not 1 <= n <= MAX_ROWS[kind]:
        raise invalid("n", f"1 … {MAX_ROWS[kind]:,} {kind}", n)
    return n


def _labels(wanted: int | str | list[int | str], names: tuple[str, ...], n: int) -> list[int]:
    if not names:
        raise invalid("label", "this model is unconditional: it has no labels", wanted)
    if isinstance(wanted, list):
        return [_label(one, names) for one in wanted]
    return [_label(wanted, names)] * n


def _label(wanted: int | str, names: tuple[str, ...]) -> int:
    """A class by its name, else by its number."""
    if isinstance(wanted, str):
        if wanted in names:
            return names.index(wanted)
        number = int(wanted) if re.fullmatch(r"[0-9]{1,9}", wanted) else -1
    else:
        number = wanted
    if 0 <= number < len(names):
        return number
    raise invalid("label", f"one of {', '.join(names)}, or its number 0 … {len(names) - 1}", wanted)


def _guidance(
    request: SampleRequest, config: Config, classifier: ClassifierCheckpoint | None
) -> tuple[Guidance, float]:
    """(how the label steers, how strongly)"""
    guidance, scale, labelled = request.guidance, request.guidance_scale, request.label is not None
    if guidance == "clip":
        raise invalid("guidance", f"{request.dataset} has none, classifier-free or classifier", guidance)
    if guidance == "classifier" and classifier is None:
        raise invalid("guidance", f"{config.name} has no classifier that fits it", guidance)
    if guidance in ("classifier-free", "classifier") and not labelled:
        raise invalid("guidance", f"{guidance} needs a label to steer to", guidance)
    if scale is not None and not labelled:
        raise invalid("guidance_scale", "applies where there is a label to steer to", scale)
    if scale is not None and guidance == "none":
        raise invalid("guidance_scale", "does not go with guidance none; leave one of them away", scale)
    if not labelled or guidance == "none":
        return "none", 1.0
    if guidance is None and not config.data.labels and classifier is not None:
        guidance = "classifier"  # the only way in which a label can steer an unconditional model
    if guidance == "classifier":
        return "classifier", classifier.config.guidance_scale if scale is None else scale
    return "classifier-free", config.sampling.guidance_scale if scale is None else scale


def _describe_classifier(classifier: ClassifierCheckpoint) -> dict:
    config = classifier.config
    return {"name": config.name, "guidance_scale": config.guidance_scale, "metrics": config.metrics}
