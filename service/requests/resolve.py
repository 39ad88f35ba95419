"""A request → the model that answers it, and a job with every default filled in; what does not fit is refused."""

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from model.checkpoints.denoiser import DenoiserCheckpoint
from model.conditions import NO_LABEL
from model.label_prior import drawn_labels
from model.sampler_spec import Integers
from service.checkpoints.catalog import Catalog
from service.engine.job import Job
from service.requests.begin import Beginning, Pictures, as_image, beginning, pictures_of
from service.requests.control_image import Hint, as_control, hint_of
from service.requests.edit_options import EditOptions, Seeds, edit_options, plan_of, seeds_of
from service.requests.given_columns import given_values
from service.requests.guidance_options import GuidanceOptions, conditions, guidance_options
from service.requests.labels import class_number, class_numbers
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

    numbers        [n] int64, the classes' numbers, or those of clusters; NO_LABEL without either
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
    """A request, every default filled in.

    seed   the first sample's
    seeds  those of all samples
    axes   the dimensions of points that a picture shows
    given  values by dimension that all points have
    """

    choice: Choice
    options: SamplingOptions
    guidance: GuidanceOptions
    edit: EditOptions
    conditioned: Conditioned
    seed: int
    seeds: Seeds
    axes: tuple[int, ...]
    given: Mapping[int, float]
    job: Job
    hint: Hint | None = None
    beginning: Beginning | None = None

    @property
    def checkpoint(self) -> DenoiserCheckpoint:
        return self.choice.served.checkpoint

    @property
    def is_ready(self) -> bool:
        """Is all there that the job needs, or are there pictures to be decoded and noise to be drawn?"""
        return self.choice.request.is_plain

    def made_ready(self) -> "Resolved":
        """The same with its pictures decoded and its noise drawn. This takes some milliseconds: not for the event loop.

        Raises Problem (422) for a picture that cannot be used.
        """
        ready, control, config = self, self.choice.request.control, self.checkpoint.config
        if control is not None and self.choice.control is not None:
            ready = ready.with_hint(hint_of(control, self.choice.control_scale, self.choice.control.config))
        pictures = pictures_of(self.choice.request, config.data)
        if pictures is None and not self.given and self.seeds.other is None:
            return ready
        if self.choice.hint == "inpainting" and pictures is not None and pictures.hint is not None:  # what a mask keeps
            ready = ready.with_hint(Hint("inpainting", pictures.hint, self.choice.control_scale))
        begun = self._beginning(self.seeds, pictures)
        return replace(ready, beginning=begun, job=begun.of(ready.job))

    def begun(self, job: Job, seeds: Seeds) -> Job:
        """A job of other rows, without what they begin from, and with it: from the same pictures."""
        return self._beginning(seeds, None if self.beginning is None else self.beginning.pictures).of(job)

    def _beginning(self, seeds: Seeds, pictures: Pictures | None) -> Beginning:
        checkpoint = self.checkpoint
        return beginning(
            self.edit, self.job.plan, seeds, checkpoint.schedule, checkpoint.config.data, pictures, self.given
        )

    def exact(self, data: np.ndarray) -> np.ndarray:
        """The samples [n, …] as the engine made them, and what is kept of them to the last bit, written in place."""
        pictures = None if self.beginning is None else self.beginning.pictures
        if pictures is not None and pictures.mask is not None:
            kept = pictures.mask == 0
            data[:, kept] = pictures.init[kept]
        for index, value in self.given.items():
            data[:, index] = value
        return data

    def with_hint(self, hint: Hint) -> "Resolved":
        """The same, with a hint that its samples follow."""
        conditions = self.job.conditions.with_hints(hint.image, hint.kind, hint.scale)
        return replace(self, hint=hint, job=replace(self.job, conditions=conditions))

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """What makes these samples, except the label: with it the same request, as the answer names it. Pictures are
        encoded once, and not for the event loop: they are PNGs."""
        return {
            "model": self.choice.name,
            "dataset": self.choice.request.dataset,
            "prompt": self.conditioned.prompt,
            **asdict(self.options),
            **asdict(self.guidance),
            "seed": self.seed,
            **({} if self.hint is None or self.hint.kind == "inpainting" else {"control": as_control(self.hint)}),
            **self._begun_from,
        }

    @property
    def _begun_from(self) -> dict[str, Any]:
        """The fields that say what the samples begin from, of those that the request has."""
        request, pictures = self.choice.request, None if self.beginning is None else self.beginning.pictures
        fields: dict[str, Any] = {}
        if request.seed_to is not None and self.seeds.share is not None:
            fields |= {"seed_to": request.seed_to, "mix": self.seeds.share.tolist()}
        if request.variations_of is not None:
            fields["variations_of"] = request.variations_of.model_dump()
        if pictures is not None and request.init is not None:
            label = {} if request.init.label is None else {"label": request.init.label}
            init = {"image": as_image(pictures.init), "strength": self.edit.strength, "method": self.edit.method}
            fields["init"] = init | label
            if pictures.mask is not None:
                fields["mask"] = {"image": as_image(pictures.mask)}
            if pictures.resized:
                fields["resized"] = {name: list(size) for name, size in pictures.resized.items()}
        if request.given is not None:
            fields["given"] = request.given
        if self.edit.resample is not None:
            fields["resample"] = self.edit.resample
        return fields


def resolve(catalog: Catalog, request: SampleRequest) -> Resolved:
    """The model that answers, and the job without what takes pictures to be decoded: see `made_ready`.

    Raises Problem (404, 422) that lists what there is.
    """
    choice = choose(catalog, request)
    refuse(choice)
    options, guidance = sampling_options(choice), guidance_options(choice)
    seed = request.seed if request.seed is not None else secrets.randbelow(DRAWN_SEEDS)
    edit, seeds = edit_options(choice), seeds_of(request, seed, choice.n)
    conditioned = _conditioned(choice, seeds.noise)
    rows = conditions(guidance, choice.n, label=conditioned.numbers, text=conditioned.text)
    if request.init is not None and request.init.label is not None:
        source = class_number(request.init.label, choice.config.data.labels)
        rows = replace(rows, source=torch.full((choice.n,), source))
    guides_itself = choice.config.distilled is not None
    job = Job(choice.served.key, plan_of(choice, options, edit), seeds.noise, rows, guides_itself)
    axes, given = axes_of(request.axes, choice.config.data) or (), given_values(choice)
    return Resolved(choice, options, guidance, edit, conditioned, seed, seeds, axes, given, job)


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
        return Conditioned(drawn_clusters(choice, seeds))
    names = choice.label_names
    numbers = class_numbers(request.label, names, choice.n)
    return Conditioned(torch.tensor(numbers), [names[number] for number in numbers])


def drawn_clusters(choice: Choice, seeds: Integers) -> Tensor | int:
    """[n] int64: the cluster that each of the samples' seeds [n] draws; NO_LABEL where the model draws none."""
    if not choice.draws_clusters:
        return NO_LABEL
    return drawn_labels(torch.from_numpy(seeds), choice.config.cluster_shares)
