"""The served model that answers a request, and how it is guided."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from model.checkpoints.config import SamplingConfig, SamplingOverrides
from model.checkpoints.control import ControlCheckpoint
from model.checkpoints.denoiser import DenoiserConfig
from model.checkpoints.few_step_quality import Columns
from model.checkpoints.guidance_model import GuidanceModel
from model.conditions import Conditioning, HintKind
from service.checkpoints.catalog import Catalog
from service.engine.served_model import Served
from service.http.problems import Problem
from service.requests.quality import student_steps
from service.requests.schemas import DEFAULT_ROWS, GuidanceMethod, SampleRequest

GRADIENT_GUIDANCE: Mapping[Conditioning, GuidanceMethod] = {"label": "classifier", "text": "clip"}
"""The guidance by a guidance model's gradient, by what that model is conditioned on."""

_CONDITIONING_OF = {guidance: conditioning for conditioning, guidance in GRADIENT_GUIDANCE.items()}


@dataclass(frozen=True, eq=False)
class Choice:
    """A request and the model that is to answer it. What follows from the two is here; `refuse` says if it may be.

    steps  those that the request's `quality` means; None for the card's
    """

    catalog: Catalog
    request: SampleRequest
    served: Served
    steps: int | None = None

    @property
    def config(self) -> DenoiserConfig:
        return self.served.checkpoint.config

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def n(self) -> int:
        """The number of samples."""
        labels, mix = self.request.label, self.request.mix
        given = len(labels) if isinstance(labels, list) else None
        if mix is not None:
            given = given or (len(mix) if isinstance(mix, list) else 1)
        return self.request.n if self.request.n is not None else given or DEFAULT_ROWS[self.config.data.kind]

    @property
    def conditioning(self) -> Conditioning | None:
        """What the request conditions its samples on. A label beside a prompt becomes one more word of it."""
        if self.request.prompt is not None:
            return "text"
        return None if self.request.label is None else "label"

    @property
    def draws_labels(self) -> bool:
        """Is nothing asked, and does the model know its labels' prior? Then each row's label is drawn from it."""
        return self._asks_nothing and bool(self.config.label_shares)

    @property
    def draws_clusters(self) -> bool:
        """The same of a model that reads clusters of unlabelled rows. They have no names, so no answer shows them."""
        return self._asks_nothing and bool(self.config.cluster_shares)

    @property
    def _asks_nothing(self) -> bool:
        """Is there nothing that tells of a label, even if not of which?"""
        return (self.conditioning, self.request.control, self.request.init, self.request.given) == (None,) * 4

    @property
    def gradient_conditioning(self) -> Conditioning | None:
        """What a guidance model has to be conditioned on: by the guidance that is named, else by the request."""
        named = self.request.guidance
        return self.conditioning if named is None else _CONDITIONING_OF.get(named, self.conditioning)

    @property
    def guidance_model(self) -> GuidanceModel | None:
        """The model whose gradient can guide the samples."""
        conditioning = self.gradient_conditioning
        return None if conditioning is None else self.served.guidance_models.get(conditioning)

    @property
    def lacks_guidance(self) -> bool:
        """Does the request name a guidance that the model has no second network for?"""
        if self.request.guidance == "auto":
            return self.served.weak is None
        return self.request.guidance in _CONDITIONING_OF and self.guidance_model is None

    @property
    def label_names(self) -> Sequence[str]:
        """The classes that a label may name: a classifier's, where it guides; else the model's own."""
        classifier = self.guidance_model if self.guidance == "classifier" else None
        return self.config.data.labels if classifier is None else classifier.data.labels

    @property
    def hint(self) -> HintKind | None:
        """The kind of hint that the samples follow: the request's, or what a mask keeps, if the model follows that."""
        if self.request.control is not None:
            return self.request.control.kind
        request = self.request
        if request.asks_inversion:  # its way back is that of its way up
            return None
        known = request.mask is not None and request.guidance != "auto"
        return "inpainting" if known and "inpainting" in self.served.controls else None

    @property
    def control(self) -> ControlCheckpoint | None:
        """The ControlNet for the hint."""
        return None if self.hint is None else self.served.controls.get(self.hint)

    @property
    def measured(self) -> Columns:
        """The card's figures of what the request asks: those of the ControlNet where samples follow a hint."""
        return self.config.metrics if self.control is None else self.control.config.metrics

    @property
    def control_scale(self) -> float:
        """The strength of the hint; 0 without one. What a mask keeps counts in full: no request names that strength,
        and a card that advised another would change the samples of a job under way."""
        if self.control is None:
            return 0.0
        if self.request.control is None:
            return 1.0
        scale = self.request.control.scale
        return self.control.config.control_scale if scale is None else scale

    @property
    def guidance(self) -> GuidanceMethod:
        """The guidance that is named, else the usual one. A gradient is the only way to guide an unconditional model
        by a label or a prompt. A hint is guided where there is neither."""
        if self.request.guidance == "auto":
            return "auto"
        if self.conditioning is None and self.hint is None:
            return "none"
        if self.conditioning is not None and self.config.conditioning is None and self.guidance_model is not None:
            return GRADIENT_GUIDANCE[self.conditioning]
        return self.request.guidance or "classifier-free"

    @property
    def advised(self) -> SamplingConfig:
        """What the cards advise: the guidance model's, the weak network's or the ControlNet's before the denoiser's
        own."""
        overrides = self._overrides
        return self.config.sampling if overrides is None else overrides.applied_to(self.config.sampling)

    @property
    def _overrides(self) -> SamplingOverrides | None:
        if self.guidance == "auto":
            return None if self.served.weak is None else self.served.weak.overrides
        if self.guidance in _CONDITIONING_OF and self.guidance_model is not None:
            return self.guidance_model.overrides
        if self.conditioning is None and self.control is not None:
            return self.control.config.sampling
        return None


def choose(catalog: Catalog, request: SampleRequest) -> Choice:
    """The model that is named; else of the dataset's models the one that suits best, see `_unsuitable`.

    Raises Problem (404) that lists what there is.
    """
    if request.dataset not in catalog.datasets:
        raise Problem(404, f"there is no dataset {request.dataset!r}; there are: {', '.join(sorted(catalog.datasets))}")
    choices = _choices(catalog, request)
    if request.model is None:
        return _of_the_quality(choices)
    for choice in choices:
        if choice.name == request.model:
            return choice
    names = ", ".join(choice.name for choice in choices)
    raise Problem(404, f"there is no model {request.model!r} of {request.dataset}; there are: {names}")


def _of_the_quality(choices: Sequence[Choice]) -> Choice:
    """The one that suits best; its student, where the request's `quality` means it and leaves the sampling open."""
    best = min(choices, key=_unsuitable)
    request = best.request
    pinned = (request.sampler, request.steps, request.eta, request.variance, request.guidance_interval)
    beyond_students = (request.init, request.given)
    if request.quality is None or any(field is not None for field in (*pinned, *beyond_students)):
        return best
    for choice in choices:
        reads_it = choice.conditioning in (None, choice.config.conditioning)  # no gradient guides a student
        if choice.config.distilled is None or not _takes_the_scale(choice):
            continue
        if reads_it and _unfit(choice) <= _unfit(best):
            steps = student_steps(request.quality, choice.measured, best.measured)
            if steps is not None:
                return replace(choice, steps=steps)
    return best


def _takes_the_scale(choice: Choice) -> bool:
    """Can the model be guided as strongly as the request asks, if it asks?"""
    scale = choice.request.guidance_scale
    if scale is None:
        return True
    return choice.config.sampling_refusal(choice.advised.model_copy(update={"guidance_scale": scale})) is None


def models_with_prompts(catalog: Catalog, dataset: str) -> list[Served]:
    """The dataset's models that understand prompts; the first answers by default."""
    choices = _choices(catalog, SampleRequest(dataset=dataset, prompt="any"))
    return [choice.served for choice in sorted(choices, key=_unsuitable) if choice.served.text is not None]


def _choices(catalog: Catalog, request: SampleRequest) -> Sequence[Choice]:
    return [Choice(catalog, request, served) for served in catalog.datasets[request.dataset]]


def _unsuitable(choice: Choice) -> tuple[bool, ...]:
    """The least suits best. In this order, the model

    has what `_unfit` counts, except the condition;
    is unconditional, and its guidance model is the default for prompts, unless the request names another guidance;
    is conditioned on what the request asks, as `_unfit` has it;
    has a guidance model for what the request asks;
    takes any number of steps: whoever wants fewer evaluations says so.
    """
    *weightier, condition = _unfit(choice)
    named, guide = choice.request.guidance, choice.guidance_model
    default_for_prompts = guide is not None and guide.default_for_prompts and choice.config.conditioning is None
    return (
        *weightier,
        not (default_for_prompts and (named is None or named in _CONDITIONING_OF)),
        condition,
        guide is None,
        not choice.config.predicts_posterior_mean,
    )


def _unfit(choice: Choice) -> tuple[bool, ...]:
    """What the request itself asks of a model. The weightiest first, the model

    has the gradient, or the weak network, that the request names;
    follows hints of the request's kind;
    follows what a mask keeps, unless words are asked too;
    draws labels, where nothing is asked, or at least clusters: these samples are nearer to real ones than those of an
    unconditional model;
    is conditioned on what the request asks, or on the label of the picture that it inverts; on nothing, as in the
    papers, where a gradient is named.
    """
    by_gradient = choice.request.guidance in _CONDITIONING_OF
    asks_nothing = choice.conditioning is None and choice.request.control is None and not by_gradient
    init = choice.request.init
    source = None if init is None or init.label is None else "label"  # of the picture that is inverted
    return (
        choice.lacks_guidance,
        choice.request.control is not None and choice.control is None,
        choice.request.mask is not None and choice.conditioning != "text" and choice.hint is None,
        asks_nothing and not choice.draws_labels,
        asks_nothing and not choice.draws_clusters,
        choice.config.conditioning != (None if by_gradient else choice.conditioning or source),
    )
