"""The checkpoints on disk → what may be asked of the service."""

import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog

from model.checkpoint import Checkpoint, CheckpointError, load_checkpoint, read_role
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

    def __init__(self, checkpoints: Iterable[Checkpoint]):
        self.models: Mapping[str, Checkpoint] = {checkpoint.config.name: checkpoint for checkpoint in checkpoints}
        self.datasets: dict[str, list[Checkpoint]] = {}
        for checkpoint in self.models.values():
            self.datasets.setdefault(checkpoint.config.data.dataset, []).append(checkpoint)

    def resolve(self, request: SampleRequest) -> Resolved:
        """Which model answers, and with what. Raises Problem (404, 422) that lists what there is."""
        checkpoint = self._choose(request)
        config = checkpoint.config
        n = _count(request, config.data.kind)
        labels = None if request.label is None else _labels(request.label, config.data.labels, n)
        guidance, scale = _guidance(request, config.sampling.guidance_scale, labelled=labels is not None)

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
        names = config.data.labels
        numbers = np.full(n, NO_LABEL, dtype=np.int64) if labels is None else np.array(labels, dtype=np.int64)
        job = Job(config.name, plan, sample_seeds(seed, n), numbers, 0.0 if labels is None else scale)
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
        wants_labels = request.label is not None
        return next((c for c in candidates if bool(c.config.data.labels) == wants_labels), candidates[0])

    def describe(self, engine: Mapping) -> dict:
        """GET /models: what may be asked, with the defaults, and what is known of each checkpoint.

        `engine` is `Engine.describe()`.
        """
        return {
            "device": engine["device"],
            "seeds": engine["seeds"],
            "datasets": {
                dataset: _describe_dataset(checkpoints, engine["models"])
                for dataset, checkpoints in sorted(self.datasets.items())
            },
        }


def load_catalog(folder: Path) -> Catalog:
    """Every checkpoint of the folder that can be served. One that is broken is named in the log and left out."""
    checkpoints = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if not path.is_dir() or read_role(path) not in ("denoiser", None):  # what is broken says so when it is loaded
            continue
        try:
            checkpoint = load_checkpoint(path)
        except CheckpointError as error:
            log.error("checkpoint left out", checkpoint=path.name, reason=str(error))
            continue
        except Exception as error:  # whatever a broken folder makes torch or a parser raise, the others serve
            log.error("checkpoint left out", checkpoint=path.name, reason=f"{type(error).__name__}: {error}")
            continue
        if any(other.config.name == checkpoint.config.name for other in checkpoints):
            log.error(
                "checkpoint left out", checkpoint=path.name, reason="another has the same name in its config.json"
            )
            continue
        checkpoints.append(checkpoint)
    return Catalog(checkpoints)


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


def _guidance(request: SampleRequest, default_scale: float, *, labelled: bool) -> tuple[Guidance, float]:
    """(how the label steers, the scale that the engine takes)"""
    guidance, scale = request.guidance, request.guidance_scale
    if guidance in ("classifier", "clip"):
        raise invalid("guidance", f"{request.dataset} has none or classifier-free", guidance)
    if guidance == "classifier-free" and not labelled:
        raise invalid("guidance", "classifier-free needs a label to steer to", guidance)
    if scale is not None and not labelled:
        raise invalid("guidance_scale", "applies where there is a label to steer to", scale)
    if scale is not None and guidance == "none":
        raise invalid("guidance_scale", "does not go with guidance none; leave one of them away", scale)
    if not labelled or guidance == "none":
        return "none", 1.0
    return "classifier-free", default_scale if scale is None else scale


def _describe_dataset(checkpoints: list[Checkpoint], engine: Mapping) -> dict:
    first = checkpoints[0].config.data
    labelled = next((c for c in checkpoints if c.config.data.labels), None)
    return {
        "kind": first.kind,
        "shape": list(first.shape),
        "labels": list(labelled.config.data.labels) if labelled else [],
        "guidances": ["none", "classifier-free"] if labelled else ["none"],
        "samplers": list(SAMPLERS),
        "max_n": MAX_ROWS[first.kind],
        "default_n": DEFAULT_ROWS[first.kind],
        "models": [
            {
                "name": checkpoint.config.name,
                "labels": list(checkpoint.config.data.labels),
                "T": checkpoint.schedule.T,
                "variances": ["fixed-small", "fixed-large"]
                + (["learned"] if checkpoint.config.prediction.learned_variance else []),
                "defaults": checkpoint.config.sampling.model_dump(mode="json"),
                "metrics": checkpoint.config.metrics,
                "engine": engine.get(checkpoint.config.name),
            }
            for checkpoint in checkpoints
        ],
    }
