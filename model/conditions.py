"""What each row is conditioned on: a label or a prompt, a hint, and how strongly each of them guides it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import Field, dataclass, field, fields, replace
from typing import Any, Literal, Self, get_args

import torch
from torch import Tensor

NO_LABEL = -1
NO_HINT = -1

Conditioning = Literal["label", "text"]
"""What a row may be conditioned on: a class, or a prompt as the vector that a text encoder makes of it."""

HintKind = Literal["canny", "sketch"]
"""What a hint is: the edges of an image, or its strokes as a hand would draw them."""

HINT_KINDS: tuple[HintKind, ...] = get_args(HintKind)


@dataclass(frozen=True)
class RowBatch:
    """Rows side by side. A field is a tensor [rows, …], another RowBatch, or None where no row has it.

    A tensor's metadata (`_neutral`) declare the value of a row that does not have the field.
    """

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))

    def __getitem__(self, index: slice | Tensor) -> Self:
        """The rows of a slice (views), or those at the indices [k] int64 (copies)."""
        return self._mapped(lambda values: values[index])

    @classmethod
    def cat(cls, batches: Sequence[Self]) -> Self:
        """The rows of all batches, in order."""
        joined: list[Tensor | RowBatch | None] = []
        for spec in fields(cls):
            columns = [getattr(batch, spec.name) for batch in batches]
            like = next((column for column in columns if column is not None), None)
            if like is None:
                joined.append(None)
                continue
            for index, column in enumerate(columns):
                if column is None:
                    columns[index] = _neutral_rows(like, spec, len(batches[index]))
            joined.append(like.cat(columns) if isinstance(like, RowBatch) else torch.cat(columns))
        return cls(*joined)

    def written(self, span: slice, rows: Self) -> Self:
        """The same with these rows in the span. Writes in place; only a field that was None gets new memory."""
        changed = {}
        for spec in fields(self):
            ours, theirs = getattr(self, spec.name), getattr(rows, spec.name)
            if theirs is None and ours is not None:
                theirs = _neutral_rows(ours, spec, len(rows))
            elif ours is None and theirs is not None:
                ours = _neutral_rows(theirs, spec, len(self))
            if isinstance(ours, RowBatch):
                ours = ours.written(span, theirs)
            elif ours is not None:
                ours[span] = theirs
            changed[spec.name] = ours
        return type(self)(**changed)

    def compact(self) -> Self:
        """The same rows; an optional field is None where every row has its neutral value."""
        columns = {spec.name: (spec, getattr(self, spec.name)) for spec in fields(self)}
        absent = [name for name, (spec, it) in columns.items() if spec.default is None and _is_neutral(it, spec)]
        return replace(self, **dict.fromkeys(absent)) if absent else self

    def _mapped(self, function: Callable[[Tensor], Tensor]) -> Self:
        mapped = []
        for spec in fields(self):
            column = getattr(self, spec.name)
            if column is not None:
                column = column._mapped(function) if isinstance(column, RowBatch) else function(column)
            mapped.append(column)
        return type(self)(*mapped)


def _neutral(value: float | tuple[float, ...]) -> dict[str, float | tuple[float, ...]]:
    """Metadata of a field: the value of a row that does not have it."""
    return {"neutral": value}


def _neutral_rows(like: Tensor | RowBatch, spec: Field[Any], rows: int) -> Tensor | RowBatch:
    """Rows of the same shape that do not have the field, in memory of their own."""
    if isinstance(like, RowBatch):
        return type(like)(*(_neutral_rows(getattr(like, each.name), each, rows) for each in fields(like)))
    return like.new_tensor(spec.metadata["neutral"]).expand(rows, *like.shape[1:]).clone()


def _is_neutral(column: Tensor | RowBatch | None, spec: Field[Any]) -> bool:
    if isinstance(column, RowBatch):
        return all(_is_neutral(getattr(column, each.name), each) for each in fields(column))
    return column is None or bool((column == column.new_tensor(spec.metadata["neutral"])).all())


@dataclass(frozen=True)
class Hints(RowBatch):
    """Images that rows follow (ZRA23).

    image  [rows, 1, H, W] float32 in 0 … 1: where there is an edge or a stroke
    kind   [rows] int64, an index into HINT_KINDS, or NO_HINT
    scale  [rows] float32, the factor of the ControlNet's output; 0 is off
    """

    image: Tensor = field(metadata=_neutral(0.0))
    kind: Tensor = field(metadata=_neutral(NO_HINT))
    scale: Tensor = field(metadata=_neutral(0.0))

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
class Conditions(RowBatch):
    """The conditions of each row. They stay on the host: which networks run on which rows is decided without a sync.

    label              [rows] int64, or NO_LABEL
    guidance_scale     [rows] float32, classifier-free: 0 unconditional, 1 conditional, more is guided. It scales the
                       label or the prompt, and a hint stays in both halves; without either, it scales the hint
    gradient_scale     [rows] float32, the factor of a classifier's or CLIP's gradient: 0 is off
    text               [rows, d] float32 unit vectors, or zeros for a row without a prompt
    hints              the images that rows follow
    guidance_interval  [rows, 2] float64, the noise levels σ_low ≤ σ_high between which guidance_scale holds; elsewhere
                       it is 1 (Kynkäänniemi 2024). σ = √((1−ᾱ)/ᾱ), as in the variance-exploding form
    """

    label: Tensor = field(metadata=_neutral(NO_LABEL))
    guidance_scale: Tensor = field(metadata=_neutral(0.0))
    gradient_scale: Tensor | None = field(default=None, metadata=_neutral(0.0))
    text: Tensor | None = field(default=None, metadata=_neutral(0.0))
    hints: Hints | None = None
    guidance_interval: Tensor | None = field(default=None, metadata=_neutral((0.0, math.inf)))

    @staticmethod
    def alike(
        rows: int,
        *,
        label: Tensor | int = NO_LABEL,
        guidance_scale: float = 0.0,
        gradient_scale: float = 0.0,
        text: Tensor | None = None,
        guidance_interval: tuple[float, float] | None = None,
    ) -> "Conditions":
        """So many rows that agree in all but, perhaps, their label [rows] or text [rows, d]."""
        interval = None if guidance_interval is None else torch.tensor(guidance_interval, dtype=torch.float64)
        return Conditions(
            torch.as_tensor(label).expand(rows),
            torch.full((rows,), guidance_scale, dtype=torch.float32),
            torch.full((rows,), gradient_scale, dtype=torch.float32) if gradient_scale else None,
            None if text is None else text.expand(rows, -1),
            guidance_interval=None if interval is None else interval.expand(rows, -1),
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

    @property
    def conditioned(self) -> Tensor:
        """[rows] bool: does the row have a label or a prompt?"""
        return self.has("label") | self.has("text")

    @property
    def guided(self) -> Tensor:
        """[rows] bool: does the row have anything that guidance_scale scales?"""
        return self.conditioned if self.hints is None else self.conditioned | self.hints.active

    @property
    def runs_conditional(self) -> Tensor:
        """[rows] bool"""
        return self.guided & (self.guidance_scale != 0)

    @property
    def runs_unconditional(self) -> Tensor:
        """[rows] bool"""
        return ~self.guided | (self.guidance_scale != 1)

    @property
    def runs_both(self) -> Tensor:
        """[rows] bool: the rows whose two halves classifier-free guidance combines."""
        return self.runs_conditional & self.runs_unconditional

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

    @property
    def network_evaluations(self) -> Tensor:
        """[rows] int64: the network evaluations that a step of the row costs, within its guidance interval.

        One for each half of classifier-free guidance that runs; one for a ControlNet, which is half a network and a
        little, for each half that follows the hint; one for a gradient: half a network, taken forward and backward.
        """
        halves = self.runs_conditional.long() + self.runs_unconditional.long()
        gradients = self.uses_gradient("label").long() + self.uses_gradient("text").long()
        if self.hints is None:
            return halves + gradients
        once, again = self._follows_hint
        return halves + gradients + (self.hints.active & once).long() + (self.hints.active & again).long()

    def network_evaluations_by_step(self, noise_level: Tensor) -> Tensor:
        """[steps] int64: `network_evaluations` of each of these rows at each step's noise level [steps].

        Raises ValueError where the rows do not cost alike.
        """
        if self.guidance_interval is None:
            return _common(self.network_evaluations).expand(len(noise_level))
        _common(self.guidance_interval)
        outside = replace(self, guidance_scale=torch.ones_like(self.guidance_scale), guidance_interval=None)
        costs = _common(self.network_evaluations), _common(outside.network_evaluations)
        return torch.where(self[:1]._within_interval(noise_level), *costs)

    @property
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
