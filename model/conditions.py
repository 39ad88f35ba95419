"""What each row is conditioned on: a label or a prompt, a hint, and how strongly each of them guides it."""

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, get_args

import torch
from torch import Tensor

from model.prediction import per_row
from model.row_batch import RowBatch, neutral

NO_LABEL = -1
NO_HINT = -1

Conditioning = Literal["label", "text"]
"""What a row may be conditioned on: a class, or a prompt as the vector that a text encoder makes of it."""

ControlKind = Literal["canny", "sketch"]
"""What somebody's picture may be made into: the edges of an image, or its strokes as a hand would draw them."""

CONTROL_KINDS: tuple[ControlKind, ...] = get_args(ControlKind)

HintKind = ControlKind | Literal["inpainting"]
"""What a hint is: the same, or what is known of an image around the part that is redrawn."""

HINT_KINDS: tuple[HintKind, ...] = (*CONTROL_KINDS, "inpainting")


@dataclass(frozen=True)
class Hints(RowBatch):
    """Images that rows follow (ZRA23).

    image  [rows, 1, H, W] float32 in 0 … 1: where there is an edge or a stroke, or what `known_hint` makes
    kind   [rows] int64, an index into HINT_KINDS, or NO_HINT
    scale  [rows] float32, the factor of the ControlNet's output; 0 is off
    """

    image: Tensor = field(metadata=neutral(0.0))
    kind: Tensor = field(metadata=neutral(NO_HINT))
    scale: Tensor = field(metadata=neutral(0.0))

    @property
    def active(self) -> Tensor:
        """[rows] bool"""
        return (self.kind != NO_HINT) & (self.scale != 0)

    def of(self, kind: HintKind) -> Tensor:
        """Indices [k] int64 of the rows that follow a hint of that kind."""
        return torch.nonzero((self.kind == HINT_KINDS.index(kind)) & self.active).flatten()

    def masked_to(self, rows: Tensor) -> "Hints":
        """The same; rows outside the mask [rows] bool follow no hint."""
        return replace(self, kind=torch.where(rows, self.kind, NO_HINT))


@dataclass(frozen=True)
class Known(RowBatch):
    """What is known of the samples, and so kept: the part around an inpainted hole, or the given dimensions of a point.

    x0    [rows, …] float32 in the network's range: the known values; anything finite where nothing is known
    kept  [rows, …] float32: 1 where the sample is known, 0 where it is drawn

    Where x̂0 is the true x_0, every sampler leads x_t to its true distribution q(x_t|x_0), whatever x̂0 is elsewhere.
    One exception: `ddpm` with a variance above β̃, fixed-large or learned, leaves more noise there until the last step.
    """

    x0: Tensor = field(metadata=neutral(0.0))
    kept: Tensor = field(metadata=neutral(0.0))

    def put_into(self, x0: Tensor) -> Tensor:
        """x̂0 [rows, …] with what is known in its place. Elements that are drawn keep their bits."""
        return torch.where(self.kept.to(x0.device) != 0, self.x0.to(x0.device), x0)

    def masked_to(self, rows: Tensor) -> "Known":
        """The same; of rows outside the mask [rows] bool nothing is known."""
        return replace(self, kept=torch.where(per_row(rows, self.kept), self.kept, 0.0))

    def taken_from(self, change: Tensor | None) -> Tensor | None:
        """What changes a prediction [rows, …], 0 where the sample is known."""
        return None if change is None else torch.where(self.kept.to(change.device) != 0, 0.0, change)


@dataclass(frozen=True)
class Conditions(RowBatch):
    """The conditions of each row. They stay on the host: which networks run on which rows is decided without a sync.
    What follows from them is found once: a batch does not change, `written` makes another.

    label              [rows] int64, or NO_LABEL
    guidance_scale     [rows] float32, classifier-free: 0 unconditional, 1 conditional, more is guided. It scales the
                       label or the prompt, and a hint stays in both halves; without either, it scales the hint
    gradient_scale     [rows] float32, the factor of a classifier's or CLIP's gradient: 0 is off
    text               [rows, d] float32 unit vectors, or zeros for a row without a prompt
    hints              the images that rows follow
    guidance_interval  [rows, 2] float64, the noise levels σ_low ≤ σ_high between which guidance_scale holds; elsewhere
                       it is 1 (Kynkäänniemi 2024). σ = √((1−ᾱ)/ᾱ), as in the variance-exploding form
    known              what is kept of the samples
    source             [rows] int64, the label of the sample that the row inverts, or NO_LABEL
    autoguidance_scale [rows] float32, how far a row is led away from the weak network: 1 is off
    """

    label: Tensor = field(metadata=neutral(NO_LABEL))
    guidance_scale: Tensor = field(metadata=neutral(0.0))
    gradient_scale: Tensor | None = field(default=None, metadata=neutral(0.0))
    text: Tensor | None = field(default=None, metadata=neutral(0.0))
    hints: Hints | None = None
    guidance_interval: Tensor | None = field(default=None, metadata=neutral((0.0, math.inf)))
    known: Known | None = None
    source: Tensor | None = field(default=None, metadata=neutral(NO_LABEL))
    autoguidance_scale: Tensor | None = field(default=None, metadata=neutral(1.0))

    @staticmethod
    def alike(
        rows: int,
        *,
        label: Tensor | int = NO_LABEL,
        guidance_scale: float = 0.0,
        gradient_scale: float = 0.0,
        text: Tensor | None = None,
        guidance_interval: tuple[float, float] | None = None,
        autoguidance_scale: float = 1.0,
    ) -> "Conditions":
        """So many rows that agree in all but, perhaps, their label [rows] or text [rows, d]."""
        interval = None if guidance_interval is None else torch.tensor(guidance_interval, dtype=torch.float64)
        return Conditions(
            torch.as_tensor(label).expand(rows),
            torch.full((rows,), guidance_scale, dtype=torch.float32),
            torch.full((rows,), gradient_scale, dtype=torch.float32) if gradient_scale else None,
            None if text is None else text.expand(rows, -1),
            guidance_interval=None if interval is None else interval.expand(rows, -1),
            autoguidance_scale=None
            if autoguidance_scale == 1
            else torch.full((rows,), autoguidance_scale, dtype=torch.float32),
        )

    @staticmethod
    def none(rows: int) -> "Conditions":
        """Unconditional rows."""
        return Conditions.alike(rows)

    def with_hints(self, image: Tensor, kind: HintKind, scale: float) -> "Conditions":
        """The same rows; all follow a hint of that kind: one image [1, H, W], or one for each [rows, 1, H, W]."""
        rows = len(self)
        images, kinds = image.expand(rows, *image.shape[-3:]), torch.full((rows,), HINT_KINDS.index(kind))
        return replace(self, hints=Hints(images, kinds, torch.full((rows,), scale, dtype=torch.float32)))

    def inverting(self, rows: Tensor) -> "Conditions":
        """The same; the rows of the mask [rows] bool are on their way from a sample to its noise. There each is
        conditioned on the label of its source alone, without guidance, and nothing is known."""
        if not rows.any():
            return self
        wide, weak = rows.unsqueeze(1), self.autoguidance_scale
        return replace(
            self,
            label=torch.where(rows, NO_LABEL if self.source is None else self.source, self.label),
            guidance_scale=torch.where(rows, 1.0, self.guidance_scale),
            gradient_scale=None if self.gradient_scale is None else torch.where(rows, 0.0, self.gradient_scale),
            text=None if self.text is None else torch.where(wide, 0.0, self.text),
            hints=None if self.hints is None else self.hints.masked_to(~rows),
            known=None if self.known is None else self.known.masked_to(~rows),
            autoguidance_scale=None if weak is None else torch.where(rows, 1.0, weak),
        )

    def at(self, noise_level: Tensor) -> "Conditions":
        """The conditions of one step, whose rows stand at these noise levels [rows] float64: plain conditional outside
        of their interval."""
        if self.guidance_interval is None:
            return self
        scale = torch.where(self._within_interval(noise_level), self.guidance_scale, 1.0)
        return replace(self, guidance_scale=scale, guidance_interval=None)

    def _within_interval(self, noise_level: Tensor) -> Tensor:
        """[rows] bool, or [k] bool for the noise levels [k] of a single row."""
        if self.guidance_interval is None:
            return torch.ones_like(noise_level, dtype=torch.bool)
        low, high = self.guidance_interval.unbind(1)
        return (low <= noise_level) & (noise_level <= high)

    def has(self, what: Conditioning) -> Tensor:
        """[rows] bool: is the row conditioned on that?"""
        if what == "label":
            return self.label != NO_LABEL
        return torch.zeros(len(self), dtype=torch.bool) if self.text is None else (self.text != 0).any(1)

    @cached_property
    def conditioned(self) -> Tensor:
        """[rows] bool: does the row have a label or a prompt?"""
        return self.has("label") | self.has("text")

    @cached_property
    def guided(self) -> Tensor:
        """[rows] bool: does the row have anything that guidance_scale scales?"""
        return self.conditioned if self.hints is None else self.conditioned | self.hints.active

    @cached_property
    def runs_conditional(self) -> Tensor:
        """[rows] bool"""
        return self.guided & (self.guidance_scale != 0)

    @cached_property
    def runs_unconditional(self) -> Tensor:
        """[rows] bool"""
        return ~self.guided | (self.guidance_scale != 1)

    @cached_property
    def runs_both(self) -> Tensor:
        """[rows] bool: the rows whose two halves classifier-free guidance combines."""
        return self.runs_conditional & self.runs_unconditional

    @cached_property
    def rows_of_both(self) -> Tensor:
        """Indices [k] int64 of the rows that run both halves."""
        return torch.nonzero(self.runs_both).flatten()

    @cached_property
    def label_in_use(self) -> Tensor:
        """[rows] int64: the label that the network reads in a row's first evaluation, or NO_LABEL."""
        return torch.where(self.runs_conditional, self.label, NO_LABEL)

    @cached_property
    def text_in_use(self) -> Tensor:
        """[rows, d] float32: the text that the network reads in a row's first evaluation, or zeros. Only of rows with
        a prompt."""
        assert self.text is not None
        return torch.where(per_row(self.runs_conditional, self.text), self.text, 0.0)

    @cached_property
    def runs_weak(self) -> Tensor:
        """[rows] bool: the rows that are led away from the weak network."""
        if self.autoguidance_scale is None:
            return torch.zeros(len(self), dtype=torch.bool)
        return self.autoguidance_scale != 1

    def in_one_half(self) -> "Conditions":
        """The same rows for a network that guides itself: conditional, or unconditional where the scale is 0."""
        return replace(self, guidance_scale=self.runs_conditional.float())

    def uses_gradient(self, what: Conditioning) -> Tensor:
        """[rows] bool: does a gradient guide the row by that?"""
        if self.gradient_scale is None:
            return torch.zeros(len(self), dtype=torch.bool)
        return self.has(what) & (self.gradient_scale != 0)

    def hints_for_cfg_batch(self, both: Tensor) -> Hints | None:
        """The hints of every row once, then of the unconditional halves of the rows `both` [k] int64."""
        if self.hints is None:
            return None
        once, again = (self.hints.masked_to(rows) for rows in self._follows_hint)
        return Hints.cat([once, again[both]]) if len(both) else once

    @cached_property
    def network_evaluations(self) -> Tensor:
        """[rows] int64: the network evaluations that a step of the row costs, within its guidance interval.

        One for each half of classifier-free guidance that runs; one for a ControlNet, which is half a network and a
        little, for each half that follows the hint; one for a gradient: half a network, taken forward and backward;
        one for the weak network, which is smaller.
        """
        halves = self.runs_conditional.long() + self.runs_unconditional.long()
        gradients = self.uses_gradient("label").long() + self.uses_gradient("text").long()
        evaluations = halves + gradients + self.runs_weak.long()
        if self.hints is None:
            return evaluations
        once, again = self._follows_hint
        return evaluations + (self.hints.active & once).long() + (self.hints.active & again).long()

    def network_evaluations_by_step(self, noise_level: Tensor, inverts: Tensor | None = None) -> Tensor:
        """[steps] int64: `network_evaluations` of each of these rows at each step: its noise level [steps], and whether
        it inverts [steps] bool (None: never).

        Raises ValueError where the rows do not cost alike.
        """
        costs = _common(self.network_evaluations).expand(len(noise_level))
        if self.guidance_interval is not None:
            _common(self.guidance_interval)
            outside = replace(self, guidance_scale=torch.ones_like(self.guidance_scale), guidance_interval=None)
            within = self[:1]._within_interval(noise_level)
            costs = torch.where(within, costs, _common(outside.network_evaluations))
        if inverts is None or not inverts.any():
            return costs
        inverting = self.inverting(torch.ones(len(self), dtype=torch.bool))
        return torch.where(inverts, _common(inverting.network_evaluations), costs)

    @cached_property
    def _follows_hint(self) -> tuple[Tensor, Tensor]:
        """[rows] bool each: does a row's first evaluation follow its hint; does its unconditional half?

        A hint is in both halves of a label's or a prompt's guidance. A hint alone is what is guided: in one half only.
        """
        return self.conditioned | self.runs_conditional, self.conditioned & self.runs_both


def _common(column: Tensor) -> Tensor:
    """The first row [1, …] of a column, which all others equal. Raises ValueError where one does not."""
    if (column != column[:1]).any():
        raise ValueError("the rows do not cost alike")
    return column[:1]
