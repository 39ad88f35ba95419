"""A request → the model that answers it, and a job with every default filled in; what does not fit is refused."""

import secrets
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from model.checkpoints.denoiser import DenoiserCheckpoint
from model.conditions import NO_LABEL
from model.label_prior import drawn_labels
from model.noise import sample_seeds
from model.plan import Plan, cached_plan
from model.sampler_spec import Integers
from service.checkpoints.catalog import Catalog
from service.engine.job import Job
from service.requests.control_image import Hint, as_control
from service.requests.guidance_options import GuidanceOptions, conditions, guidance_options
from service.requests.labels import class_numbers
from service.requests.model_choice import Choice, choose
from service.requests.picture_options import axes_of
from service.requests.prompts import parse_prompt
from service.requests.refusals import refuse
from service.requests.sampling_options import SamplingOptions, sampling_options
from service.requests.schemas import SampleRequest

DRAWN_SEEDS = 2**32  # short enough to be read aloud, and exact in JavaScript


@dataclass(frozen=True, eq=False)
class Conditioned:
    """The label or the prompt of all samples.

    numbers        [n] int64, the classes' numbers; NO_LABEL without labels
    labels         the classes' names, one a sample; None without labels
    drawn          the labels were not asked for: each was drawn from the training proportions by its sample's seed
    text           [1, d] float32, the prompt's vector; None without a prompt
    prompt         the prompt, with the label in words where one stands beside it
    unknown_words  of the prompt, those that are not understood
    """

    numbers: Tensor | int = NO_LABEL
    labels: list[str] | None = None
    drawn: bool = False
    text: Tensor | None = None
    prompt: str | None = None
    unknown_words: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Resolved:
    """A request, every default filled in; `axes` are the dimensions of points that a picture shows."""

    choice: Choice
    options: SamplingOptions
    guidance: GuidanceOptions
    conditioned: Conditioned
    seed: int
    axes: tuple[int, ...]
    job: Job
    hint: Hint | None = None

    @property
    def checkpoint(self) -> DenoiserCheckpoint:
        return self.choice.served.checkpoint

    def with_hint(self, hint: Hint) -> "Resolved":
        """The same, with a hint that its samples follow."""
        conditions = self.job.conditions.with_hints(hint.image, hint.kind, hint.scale)
        return replace(self, hint=hint, job=replace(self.job, conditions=conditions))

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """What makes these samples, except the label: with it the same request, as the answer names it. A hint is
        encoded once, and not for the event loop: it is a PNG."""
        return {
            "model": self.choice.name,
            "dataset": self.choice.request.dataset,
            "prompt": self.conditioned.prompt,
            **asdict(self.options),
            **asdict(self.guidance),
            "seed": self.seed,
        } | ({} if self.hint is None else {"control": as_control(self.hint)})


def resolve(catalog: Catalog, request: SampleRequest) -> Resolved:
    """The model that answers, and the job without its hint, which takes a picture to be decoded.

    Raises Problem (404, 422) that lists what there is.
    """
    choice = choose(catalog, request)
    refuse(choice)
    options, guidance = sampling_options(choice), guidance_options(choice)
    seed = request.seed if request.seed is not None else secrets.randbelow(DRAWN_SEEDS)
    seeds = sample_seeds(seed, choice.n)
    conditioned = _conditioned(choice, seeds)
    rows = conditions(guidance, choice.n, label=conditioned.numbers, text=conditioned.text)
    guides_itself = choice.config.distilled is not None
    job = Job(choice.served.key, _plan(choice, options), seeds, rows, guides_itself)
    axes = axes_of(request.axes, choice.config.data) or ()
    return Resolved(choice, options, guidance, conditioned, seed, axes, job)


def _conditioned(choice: Choice, seeds: Integers) -> Conditioned:
    """`seeds` are the samples' [n]. Raises Problem (422) for labels and prompts that the model does not know."""
    request, served = choice.request, choice.served
    if request.prompt is not None and served.text is not None:
        prompt, words = parse_prompt(served.text.config.vocabulary, request.prompt, request.label)
        return Conditioned(text=served.text.embed([words]), prompt=prompt, unknown_words=words.unknown)
    if choice.draws_labels:
        drawn = drawn_labels(torch.from_numpy(seeds), choice.config.label_shares)
        return Conditioned(drawn, [choice.config.data.labels[number] for number in drawn.tolist()], drawn=True)
    if request.label is None:
        return Conditioned()
    names = choice.label_names
    numbers = class_numbers(request.label, names, choice.n)
    return Conditioned(torch.tensor(numbers), [names[number] for number in numbers])


def _plan(choice: Choice, options: SamplingOptions) -> Plan:
    return cached_plan(
        choice.served.checkpoint.schedule,
        options.sampler,
        options.steps,
        eta=options.eta or 0.0,
        variance=options.variance or "fixed-small",
    )
