"""A request → the model that answers it, and a job with every default filled in; what does not fit is refused."""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from model.checkpoints.control import ControlConfig
from model.checkpoints.denoiser import DenoiserCheckpoint, SamplingConfig
from model.conditions import NO_LABEL, Conditioning
from model.data import DataConfig
from model.noise import sample_seeds
from model.plan import Sampler, Variance, cached_plan
from model.text_encoder import TextEncoder
from model.vocabulary import PromptError, Words
from service.checkpoints.catalog import DEFAULT_ROWS, GRADIENT_GUIDANCE, MAX_ROWS, Catalog
from service.engine.job import Hint, Job
from service.http.problems import Problem, invalid
from service.media import encoding
from service.requests.control_image import as_control
from service.requests.schemas import GuidanceMethod, SampleRequest

DRAWN_SEEDS = 2**32  # short enough to be read aloud, and exact in JavaScript
MAX_PICTURE = 4096  # pixels of a side
NAMED = 20  # labels or dimensions that an error lists


@dataclass(frozen=True, eq=False)
class Resolved:
    """A request, every default filled in."""

    checkpoint: DenoiserCheckpoint
    job: Job
    seed: int
    steps: int
    sampler: Sampler
    eta: float | None
    variance: Variance | None
    guidance: GuidanceMethod
    guidance_scale: float | None
    labels: list[str] | None  # names, one a sample
    prompt: str | None
    unknown_words: tuple[str, ...]  # of the prompt
    control: ControlConfig | None = None  # what reads the hint, where there is one …
    control_scale: float = 0.0  # … and how strongly it steers
    axes: tuple[int, ...] = ()  # dimensions of points that a picture shows, one or two

    def following(self, hint: Hint) -> "Resolved":
        """The same, with a hint that its samples follow."""
        return replace(self, job=replace(self.job, hint=hint))

    @property
    def parameters(self) -> dict:
        """What makes these samples, but for the label: with it the same request, as the answer names it."""
        return {
            "model": self.checkpoint.config.name,
            "dataset": self.checkpoint.config.data.dataset,
            "prompt": self.prompt,
            "sampler": self.sampler,
            "steps": self.steps,
            "eta": self.eta,
            "variance": self.variance,
            "guidance": self.guidance,
            "guidance_scale": self.guidance_scale,
            "seed": self.seed,
        } | ({} if self.job.hint is None else {"control": as_control(self.job.hint)})


def resolve(catalog: Catalog, request: SampleRequest) -> Resolved:
    """Which model answers, and with what. Raises Problem (404, 422) that lists what there is."""
    checkpoint = _choose(catalog, request)
    config = checkpoint.config
    n = _count(request, config.data.kind)
    control, control_scale = _control(catalog, request, checkpoint)
    guidance, scale, advised = _guidance(catalog, request, checkpoint, control)
    labels, names, words = None, config.data.labels, None
    if request.prompt is not None:
        encoder = catalog.served[config.name].text
        prompt, words = _parse_prompt(request, encoder)
    elif request.label is not None:
        if guidance == "classifier":
            names = catalog.served[config.name].guidance_models["label"].data.labels
        labels = _labels(request.label, names, n)

    T = checkpoint.schedule.T
    steps = request.steps if request.steps is not None else advised.steps
    if not 1 <= steps <= T:
        raise invalid("steps", f"1 … {T} for {config.name}", request.steps)
    sampler = request.sampler or advised.sampler
    eta, variance = request.eta, request.variance
    if eta is not None and sampler != "ddim":
        raise invalid("eta", f"applies to the sampler ddim only; the sampler is {sampler}", eta)
    if variance is not None and sampler != "ddpm":
        raise invalid("variance", f"applies to the sampler ddpm only; the sampler is {sampler}", variance)
    if sampler == "ddim" and eta is None:
        eta = advised.eta
    if sampler == "ddpm" and variance is None:
        variance = advised.variance
    if variance == "learned" and not config.prediction.learned_variance:
        raise invalid("variance", f"{config.name} has learned none: fixed-small or fixed-large", variance)
    if request.zoom is not None:
        _check_zoom(request.zoom, config.data, n)

    seed = request.seed if request.seed is not None else secrets.randbelow(DRAWN_SEEDS)
    plan = cached_plan(checkpoint.schedule, sampler, steps, eta=eta or 0.0, variance=variance or "fixed-small")
    numbers = np.full(n, NO_LABEL, dtype=np.int64) if labels is None else np.array(labels, dtype=np.int64)
    steered = labels is not None or words is not None or control is not None
    job = Job(
        catalog.served[config.name].key,
        plan,
        sample_seeds(seed, n),
        numbers,
        guidance_scale=scale if guidance == "classifier-free" else float(steered),
        gradient_scale=scale if guidance in GRADIENT_GUIDANCE.values() else 0.0,
        text=None if words is None else encoder.embed([words])[0].numpy(),
    )
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
        None if words is None else prompt,
        () if words is None else words.unknown,
        control,
        control_scale,
        _axes(request.axes, config.data),
    )


def _choose(catalog: Catalog, request: SampleRequest) -> DenoiserCheckpoint:
    """The pinned checkpoint; else one that reads what is asked, as far as there is."""
    if request.dataset not in catalog.datasets:
        raise Problem(404, f"there is no dataset {request.dataset!r}; there are: {', '.join(sorted(catalog.datasets))}")
    candidates = catalog.datasets[request.dataset]
    if request.model is not None:
        for checkpoint in candidates:
            if checkpoint.config.name == request.model:
                return checkpoint
        names = ", ".join(checkpoint.config.name for checkpoint in candidates)
        raise Problem(404, f"there is no model {request.model!r} of {request.dataset}; there are: {names}")
    asked: Conditioning | None = (
        "text" if request.prompt is not None else "label" if request.label is not None else None
    )
    for conditioning, name in GRADIENT_GUIDANCE.items():
        if request.guidance == name:
            candidates = [c for c in candidates if conditioning in catalog.served[c.config.name].guidance_models]
            asked = None  # of the network itself: an unconditional one, as in the papers, if there is one
            if not candidates:
                guidances = ", ".join(catalog.guidances(request.dataset))
                raise invalid("guidance", f"one of {guidances}: {request.dataset} has no {name}", name)
    if request.control is not None:
        candidates = _following(catalog, request, candidates)
    named = request.guidance is not None
    return min(candidates, key=lambda c: catalog.served[c.config.name].rank(asked, guidance_is_named=named))


def _guidance(
    catalog: Catalog, request: SampleRequest, checkpoint: DenoiserCheckpoint, control: ControlConfig | None
) -> tuple[GuidanceMethod, float, SamplingConfig]:
    """(how label or prompt steers, or a hint where it is alone; how strongly; what is advised besides)"""
    config, guidance_models = checkpoint.config, catalog.served[checkpoint.config.name].guidance_models
    guidance, scale, prompted = request.guidance, request.guidance_scale, request.prompt is not None
    asks = prompted or request.label is not None
    if prompted and catalog.served[checkpoint.config.name].text is None:
        raise invalid(
            "prompt", f"{config.name} understands no words; {_datasets_with_prompts(catalog)}", request.prompt
        )
    if not prompted and config.conditioning == "text" and asks:
        raise invalid("label", f"{config.name} reads a prompt, not a label", request.label)
    for conditioning, name in GRADIENT_GUIDANCE.items():
        if guidance == name and conditioning not in guidance_models:
            raise invalid("guidance", f"{config.name} has no {name} that fits it", guidance)
    if guidance == "clip" and not prompted:
        raise invalid("guidance", "clip needs a prompt to steer to", guidance)
    if guidance == "classifier" and prompted:
        raise invalid("guidance", "classifier needs a label; a prompt steers by classifier-free or clip", guidance)
    if guidance == "classifier" and not asks:
        raise invalid("guidance", "classifier needs a label to steer to", guidance)
    if guidance == "classifier-free" and not asks and control is None:
        raise invalid("guidance", "classifier-free needs a label, a prompt or a hint to steer to", guidance)
    if scale is not None and not asks and control is None:
        raise invalid("guidance_scale", "applies where there is a label, a prompt or a hint to steer to", scale)
    if scale is not None and guidance == "none":
        raise invalid("guidance_scale", "does not go with guidance none; leave one of them away", scale)
    conditioning: Conditioning = "text" if prompted else "label"
    if (
        asks and config.conditioning is None and conditioning in guidance_models
    ):  # a gradient is the only way to steer it
        if guidance not in (None, GRADIENT_GUIDANCE[conditioning]):
            raise invalid(
                "guidance",
                f"{config.name} is unconditional: only {GRADIENT_GUIDANCE[conditioning]} steers it",
                guidance,
            )
        guidance = GRADIENT_GUIDANCE[conditioning]
    if not asks and control is None:
        return "none", 1.0, config.sampling
    if guidance == GRADIENT_GUIDANCE[conditioning]:
        advised = guidance_models[conditioning].overrides.applied_to(config.sampling)
    else:
        advised = config.sampling if asks else control.sampling.applied_to(config.sampling)
        guidance = guidance or "classifier-free"
    default = 1.0 if guidance == "none" else advised.guidance_scale
    return guidance, default if scale is None else scale, advised


def _following(
    catalog: Catalog, request: SampleRequest, candidates: list[DenoiserCheckpoint]
) -> list[DenoiserCheckpoint]:
    """Those of the candidates that follow such a hint. Raises Problem (422) where none does."""
    kind, everyone = request.control.kind, catalog.datasets[request.dataset]
    found = [c for c in candidates if kind in catalog.served[c.config.name].controls]
    if not found:
        there = sorted({kind for c in everyone for kind in catalog.served[c.config.name].controls})
        detail = f"there are hints of {', '.join(there)}" if there else "no model of it follows hints"
        steered = f", guided by {request.guidance}," if request.guidance in GRADIENT_GUIDANCE.values() else ""
        raise invalid("control.kind", f"nothing{steered} follows {kind} in {request.dataset}: {detail}", kind)
    if request.prompt is not None and all(catalog.served[c.config.name].text is None for c in found):
        raise invalid("control", "goes with a label here: no model that understands prompts follows hints")
    return found


def _control(
    catalog: Catalog, request: SampleRequest, checkpoint: DenoiserCheckpoint
) -> tuple[ControlConfig | None, float]:
    """(what reads the hint, how strongly it steers)"""
    if request.control is None:
        return None, 0.0
    kind, name = request.control.kind, checkpoint.config.name
    controls = catalog.served[name].controls
    if kind not in controls:
        following = [other.config.name for other in _following(catalog, request, catalog.datasets[request.dataset])]
        raise invalid("control.kind", f"{name} does not follow {kind}; {', '.join(following)} does", kind)
    config = controls[kind].config
    return config, config.control_scale if request.control.scale is None else request.control.scale


def _datasets_with_prompts(catalog: Catalog) -> str:
    with_prompts = [name for name in catalog.datasets if catalog.with_prompts(name)]
    return f"prompts are for {', '.join(with_prompts)}" if with_prompts else "no model here does"


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
    label = index_of(wanted, names)
    if label is None:
        raise invalid("label", f"one of {_listed(names)}, or its number 0 … {len(names) - 1}", wanted)
    return label


def index_of(wanted: int | str, names: Sequence[str]) -> int | None:
    """Where that is among the names: by its name, else by its number. 10 is the one that is called 10, if there is one:
    so JSON and query strings, where all is text, mean the same."""
    if str(wanted) in names:
        return names.index(str(wanted))
    if isinstance(wanted, str) and not re.fullmatch(r"[0-9]{1,9}", wanted):
        return None
    return int(wanted) if 0 <= int(wanted) < len(names) else None


def _axes(wanted: list[int | str] | None, data: DataConfig) -> tuple[int, ...]:
    """Dimensions that a picture shows."""
    if data.kind != "points":
        if wanted is not None:
            raise invalid("axes", "applies to points only", wanted)
        return ()
    columns = data.columns
    if wanted is None:
        return tuple(range(min(2, len(columns))))
    axes = tuple(index_of(one, columns) for one in wanted)
    if len(columns) == 1:
        raise invalid("axes", f"{data.dataset} has one dimension: leave axes away", wanted)
    if None in axes or axes[0] == axes[1]:
        raise invalid("axes", f"two of {_listed(columns)}, or their numbers 0 … {len(columns) - 1}", wanted)
    return axes


def _check_zoom(zoom: int, data: DataConfig, n: int) -> None:
    """Raises Problem (422) where there is nothing to enlarge, or a picture of all would be too large."""
    if data.kind != "images":
        raise invalid("zoom", "applies to images only", zoom)
    side = max(encoding.sheet_size(n, *data.shape[1:]))
    if zoom > 1 and zoom * side > MAX_PICTURE:
        most = max(1, MAX_PICTURE // side)
        raise invalid(
            "zoom", f"at most {most} here: a sheet of {n} would have more than {MAX_PICTURE} pixels a side", zoom
        )


def _listed(names: Sequence[str]) -> str:
    """The names, at most NAMED of them."""
    return ", ".join(names[:NAMED]) + (f" … ({len(names)} in all, see /models)" if len(names) > NAMED else "")


def _parse_prompt(request: SampleRequest, encoder: TextEncoder) -> tuple[str, Words]:
    """(the prompt, its words). A label that goes with it is put into words, unless the prompt says it already."""
    vocabulary, prompt = encoder.config.vocabulary, request.prompt
    try:
        words = vocabulary.read(prompt)
        if request.label is None:
            return prompt, words
        if isinstance(request.label, list):
            raise invalid("label", "one for all samples, where there is a prompt; or leave it away", request.label)
        if not vocabulary.label_words:
            raise invalid("label", "this model reads words and knows no classes: leave it away", request.label)
        label = _label(request.label, tuple(names[0] for names in vocabulary.label_words))
        if not words.labels:
            prompt = f"{prompt} {vocabulary.label_words[label][0]}"
            return prompt, vocabulary.read(prompt)
    except PromptError as error:
        raise invalid("prompt", str(error), request.prompt) from error
    if words.labels != (label,):
        says = " and ".join(vocabulary.label_words[one][0] for one in words.labels)
        raise invalid("label", f"the prompt says {says}, the label something else: leave one away", request.label)
    return prompt, words
