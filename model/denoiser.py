"""From a noisy row and what is asked of it to what the network believes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor

from model import guidance
from model.prediction import Prediction, Target, per_row, predicted_x0, split_output
from model.schedule import NoiseSchedule

NO_LABEL = -1

Asked = Literal["label", "text"]
"""What can be asked of a row: a class, or a prompt as the vector that a text encoder makes of it."""

Network = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(x_t [rows, …], t [rows] int64, condition) → [rows, C or 2C, …]. The condition is a label [rows] int64 or NO_LABEL,
or a text vector [rows, d] or zeros; an unconditional network is given labels and does not look at them."""

Gradient = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(x_t [rows, …], t [rows] int64, label [rows] or text [rows, d]) → ∇ log p(label or text|x_t) [rows, …]"""


@dataclass(frozen=True)
class Conditions:
    """What is asked of each row. Kept on the host: which networks run on which rows is decided there, without a sync.

    label           [rows] int64, NO_LABEL where none is asked for
    guidance_scale  [rows] float32, classifier-free: 0 unconditional, 1 conditional, more is guided
    gradient_scale  [rows] float32, of a classifier's or CLIP's gradient: 0 is off, None off for all
    text            [rows, d] float32 unit vectors, zeros where no prompt is asked for; None where there is none at all
    """

    label: Tensor
    guidance_scale: Tensor
    gradient_scale: Tensor | None = None
    text: Tensor | None = None

    @staticmethod
    def none(rows: int) -> "Conditions":
        return Conditions(torch.full((rows,), NO_LABEL), torch.zeros(rows))

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, index: slice) -> "Conditions":
        return Conditions(
            *(
                None if part is None else part[index]
                for part in (self.label, self.guidance_scale, self.gradient_scale, self.text)
            )
        )

    def asks(self, what: Asked) -> Tensor:
        """[rows] bool: is that asked of the row?"""
        if what == "label":
            return self.label != NO_LABEL
        return torch.zeros(len(self), dtype=torch.bool) if self.text is None else (self.text != 0).any(1)

    @property
    def asks_anything(self) -> Tensor:
        return self.asks("label") | self.asks("text")

    @property
    def wants_conditional(self) -> Tensor:
        return self.asks_anything & (self.guidance_scale != 0)

    @property
    def wants_unconditional(self) -> Tensor:
        return ~self.asks_anything | (self.guidance_scale != 1)

    def wants_gradient(self, of: Asked) -> Tensor:
        if self.gradient_scale is None:
            return torch.zeros(len(self), dtype=torch.bool)
        return self.asks(of) & (self.gradient_scale != 0)


def evaluations(asks: bool, guidance_scale: float, gradient_scale: float = 0.0) -> int:
    """Network evaluations a row with these conditions costs at each step.

    One, one more for classifier-free guidance, one more for a gradient: what gives it is half a network, taken forward
    and backward.
    """
    if not asks:
        return 1
    return 1 + (guidance_scale not in (0, 1)) + (gradient_scale != 0)


class Denoiser:
    """(x_t, t, Conditions) → Prediction, for rows that agree in nothing but the network.

    network           see `Network`; called once, with every row's evaluations in one batch
    schedule          the one the network was trained with
    target            what the network puts out: "epsilon", "v" or "x0"
    learned_variance  whether a second output carries v
    clip              bound on |x̂0|, for data that has one (images); None for points
    text_width        length of the text vectors that the network reads; None where it reads labels, or nothing
    gradients         see `Gradient`: by what is asked of the rows that they steer; each is called with those only
    """

    def __init__(
        self,
        network: Network,
        schedule: NoiseSchedule,
        target: Target,
        *,
        learned_variance: bool = False,
        clip: float | None = None,
        text_width: int | None = None,
        gradients: Mapping[Asked, Gradient] = MappingProxyType({}),
        device: torch.device | str = "cpu",
    ):
        self.network = network
        self.schedule = schedule
        self.target = target
        self.learned_variance = learned_variance
        self.clip = clip
        self.text_width = text_width
        self.gradients = gradients
        self.device = torch.device(device)
        self._alpha_bar = torch.from_numpy(schedule.alpha_bar).float().to(self.device)

    def __call__(self, x_t: Tensor, t: Tensor, conditions: Conditions) -> Prediction:
        """x_t [rows, …] and t [rows] int64 (1 … T) on the device, conditions on the host."""
        output = self._guided_output(x_t, t, conditions)
        raw_target, variance = split_output(output, self.learned_variance)
        x0 = predicted_x0(self.target, raw_target, x_t, self._alpha_bar[t])
        if self.clip is not None:
            x0 = x0.clamp(-self.clip, self.clip)
        return Prediction(x0, variance, self._gradient(x_t, t, conditions), self.clip)

    def no_condition(self, rows: int) -> Tensor:
        """What the network is shown where nothing is asked for."""
        if self.text_width is None:
            return torch.full((rows,), NO_LABEL)
        return torch.zeros(rows, self.text_width)

    def _gradient(self, x_t: Tensor, t: Tensor, conditions: Conditions) -> Tensor | None:
        gradient = None
        for what, of in self.gradients.items():
            steered = torch.nonzero(conditions.wants_gradient(what)).flatten()
            if not len(steered):
                continue
            asked = conditions.label if what == "label" else conditions.text
            rows, asked = steered.to(self.device), asked[steered].to(self.device)
            scale = per_row(conditions.gradient_scale[steered].to(self.device), x_t)
            gradient = torch.zeros_like(x_t) if gradient is None else gradient
            gradient[rows] = scale * of(x_t[rows], t[rows], asked)
        return gradient

    def _shown(self, conditions: Conditions) -> Tensor:
        """The network's third argument for every row: what is asked for, where it is wanted."""
        nothing = self.no_condition(len(conditions))
        asked = conditions.label if self.text_width is None else conditions.text
        return nothing if asked is None else torch.where(per_row(conditions.wants_conditional, nothing), asked, nothing)

    def _guided_output(self, x_t: Tensor, t: Tensor, conditions: Conditions) -> Tensor:
        shown = self._shown(conditions)
        both = torch.nonzero(conditions.wants_conditional & conditions.wants_unconditional).flatten()
        if not len(both):
            return self.network(x_t, t, shown.to(self.device))

        # One batch: every row once (conditional where it is asked for), then the unconditional halves of guided rows.
        guided = both.to(self.device)
        shown = torch.cat([shown, self.no_condition(len(both))]).to(self.device)
        output = self.network(torch.cat([x_t, x_t[guided]]), torch.cat([t, t[guided]]), shown)
        output, unconditional_half = output[: len(x_t)], output[len(x_t) :]
        scale = conditions.guidance_scale[both].to(self.device)
        channels = x_t.shape[1]  # the target alone is guided; a learned variance is the conditional half's
        output[guided, :channels] = guidance.classifier_free(
            unconditional_half[:, :channels], output[guided, :channels], scale
        )
        return output
