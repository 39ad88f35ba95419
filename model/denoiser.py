"""From a noisy row and what is asked of it to what the network believes."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from model import guidance
from model.conditions import NO_LABEL, Conditioning, Conditions, HintKind, Hints
from model.noise_schedule import NoiseSchedule
from model.prediction import Prediction, Target, per_row, predicted_x0, split_output

Network = Callable[..., Tensor]
"""(x_t [rows, …], t [rows] int64, condition, *control) → [rows, C or 2C, …]. The condition is a label [rows] int64 or
NO_LABEL, or a text vector [rows, d] or zeros; an unconditional network is given labels and does not look at them. What
controls give follows where a row has a hint."""

Control = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, ...]]
"""(x_t, t, condition as a `Network` has it, hint [rows, 1, H, W]) → what is added within the network, each [rows, …]"""

Gradient = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(x_t [rows, …], t [rows] int64, label [rows] or text [rows, d]) → ∇ log p(label or text|x_t) [rows, …]"""


class Denoiser:
    """(x_t, t, Conditions) → Prediction, for rows that agree in nothing but the network.

    network           see `Network`; called once, with every row's evaluations in one batch
    schedule          the one the network was trained with
    target            what the network puts out: "epsilon", "v" or "x0"
    learned_variance  whether a second output carries the variance fraction
    clip              bound on |x̂0|, for data that has one (images); None for points
    text_width        length of the text vectors that the network reads; None where it reads labels, or nothing
    gradients         see `Gradient`: by what is asked of the rows that they steer; each is called with those only
    controls          see `Control`: by the kind of hint that they follow; each is called with rows that have one only
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
        gradients: Mapping[Conditioning, Gradient] = MappingProxyType({}),
        controls: Mapping[HintKind, Control] = MappingProxyType({}),
        device: torch.device | str = "cpu",
    ):
        self.network = network
        self.schedule = schedule
        self.target = target
        self.learned_variance = learned_variance
        self.clip = clip
        self.text_width = text_width
        self.gradients = gradients
        self.controls = controls
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
            steered = torch.nonzero(conditions.uses_gradient(what)).flatten()
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
        return nothing if asked is None else torch.where(per_row(conditions.runs_conditional, nothing), asked, nothing)

    def _guided_output(self, x_t: Tensor, t: Tensor, conditions: Conditions) -> Tensor:
        shown = self._shown(conditions)
        both = torch.nonzero(conditions.runs_conditional & conditions.runs_unconditional).flatten()
        hints = conditions.hints_for_cfg_batch(both)
        if not len(both):
            return self._controlled_output(x_t, t, shown.to(self.device), hints)

        # One batch: every row once (conditional where it is asked for), then the unconditional halves of guided rows.
        guided = both.to(self.device)
        shown = torch.cat([shown, self.no_condition(len(both))]).to(self.device)
        output = self._controlled_output(torch.cat([x_t, x_t[guided]]), torch.cat([t, t[guided]]), shown, hints)
        output, unconditional_half = output[: len(x_t)], output[len(x_t) :]
        scale = conditions.guidance_scale[both].to(self.device)
        channels = x_t.shape[1]  # the target alone is guided; a learned variance is the conditional half's
        output[guided, :channels] = guidance.classifier_free(
            unconditional_half[:, :channels], output[guided, :channels], scale
        )
        return output

    def _controlled_output(self, x_t: Tensor, t: Tensor, shown: Tensor, hints: Hints | None) -> Tensor:
        """The network's, with what the hints' controls add; zeros for rows that have none."""
        added: tuple[Tensor, ...] = ()
        for kind, control in self.controls.items() if hints is not None else ():
            following = hints.of(kind)
            if not len(following):
                continue
            rows, image = following.to(self.device), hints.image[following].to(self.device)
            given = control(x_t[rows], t[rows], shown[rows], image)
            scale = hints.scale[following].to(self.device)
            added = added or tuple(one.new_zeros(len(x_t), *one.shape[1:]) for one in given)
            for whole, one in zip(added, given, strict=True):
                whole[rows] = per_row(scale.to(one.dtype), one) * one
        return self.network(x_t, t, shown, *added)
