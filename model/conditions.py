"""What is asked of each row: a label or a prompt, a hint, and how strongly each steers."""

from dataclasses import dataclass, fields, replace
from typing import Literal, get_args

import torch
from torch import Tensor

NO_LABEL = -1
NO_HINT = -1

Conditioning = Literal["label", "text"]
"""What can be asked of a row: a class, or a prompt as the vector that a text encoder makes of it."""

HintKind = Literal["canny", "sketch"]
"""What a hint is: the edges of an image, or its strokes as a hand would draw them."""

HINT_KINDS: tuple[HintKind, ...] = get_args(HintKind)


class _Rows:
    """Fields that are tensors [rows, …], or others of this sort, or None: sliced together."""

    def __getitem__(self, index: slice):
        parts = (getattr(self, field.name) for field in fields(self))
        return type(self)(*(None if part is None else part[index] for part in parts))


@dataclass(frozen=True)
class Hints(_Rows):
    """Pictures that rows are to follow (ZRA23).

    image  [rows, 1, H, W] float32 in 0 … 1: where there is an edge or a stroke
    kind   [rows] int64, a place in HINT_KINDS, or NO_HINT
    scale  [rows] float32, of what the ControlNet adds; 0 is off
    """

    image: Tensor
    kind: Tensor
    scale: Tensor

    @property
    def active(self) -> Tensor:
        """[rows] bool"""
        return (self.kind != NO_HINT) & (self.scale != 0)

    def of(self, kind: HintKind) -> Tensor:
        """Indices of the rows [k] int64 that follow a hint of that kind."""
        return torch.nonzero((self.kind == HINT_KINDS.index(kind)) & self.active).flatten()

    def masked_to(self, rows: Tensor) -> "Hints":
        """The same, but that the others than these rows [rows] bool follow none."""
        return replace(self, kind=torch.where(rows, self.kind, NO_HINT))

    def __add__(self, others: "Hints") -> "Hints":
        """Those of these rows, then of others."""
        return Hints(*(torch.cat([getattr(of, field.name) for of in (self, others)]) for field in fields(self)))


@dataclass(frozen=True)
class Conditions(_Rows):
    """What is asked of each row. Kept on the host: which networks run on which rows is decided there, without a sync.

    label           [rows] int64, NO_LABEL where none is asked for
    guidance_scale  [rows] float32, classifier-free: 0 unconditional, 1 conditional, more is guided. It is of the label
                    or the prompt, and a hint stays in both halves; where there is neither, it is of the hint
    gradient_scale  [rows] float32, of a classifier's or CLIP's gradient: 0 is off, None off for all
    text            [rows, d] float32 unit vectors, zeros where no prompt is asked for; None where there is none at all
    hints           None where no row has one
    """

    label: Tensor
    guidance_scale: Tensor
    gradient_scale: Tensor | None = None
    text: Tensor | None = None
    hints: Hints | None = None

    @staticmethod
    def none(rows: int) -> "Conditions":
        return Conditions(torch.full((rows,), NO_LABEL), torch.zeros(rows))

    def __len__(self) -> int:
        return len(self.label)

    def has(self, what: Conditioning) -> Tensor:
        """[rows] bool: is that asked of the row?"""
        if what == "label":
            return self.label != NO_LABEL
        return torch.zeros(len(self), dtype=torch.bool) if self.text is None else (self.text != 0).any(1)

    @property
    def conditioned(self) -> Tensor:
        return self.has("label") | self.has("text")

    @property
    def guided(self) -> Tensor:
        """[rows] bool: is there anything that guidance_scale is of?"""
        return self.conditioned if self.hints is None else self.conditioned | self.hints.active

    @property
    def runs_conditional(self) -> Tensor:
        return self.guided & (self.guidance_scale != 0)

    @property
    def runs_unconditional(self) -> Tensor:
        return ~self.guided | (self.guidance_scale != 1)

    def hints_for_cfg_batch(self, both: Tensor) -> Hints | None:
        """Those of every row once, then of the unconditional halves of these rows [k] int64. A hint is in both halves;
        where it is alone, it is what is guided: in the conditional one only."""
        if self.hints is None:
            return None
        once = self.hints.masked_to(self.conditioned | self.runs_conditional)
        return once + self.hints[both].masked_to(self.conditioned[both]) if len(both) else once

    def uses_gradient(self, of: Conditioning) -> Tensor:
        if self.gradient_scale is None:
            return torch.zeros(len(self), dtype=torch.bool)
        return self.has(of) & (self.gradient_scale != 0)


def network_evaluations(
    asks: bool, guidance_scale: float, gradient_scale: float = 0.0, control_scale: float = 0.0
) -> int:
    """Network evaluations a row with these conditions costs at each step.

    One, one more for classifier-free guidance; one for a ControlNet, which is half a network and a little, wherever the
    hint is in; one more for a gradient: what gives it is half a network, taken forward and backward.
    """
    follows = control_scale != 0
    denoisings = 1 + ((asks or follows) and guidance_scale not in (0, 1))
    controls = denoisings if asks else guidance_scale != 0
    return denoisings + (follows and controls) + (asks and gradient_scale != 0)
