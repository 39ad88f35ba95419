"""From noisy rows and their conditions to the network's prediction."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from model import guidance
from model.conditions import NO_LABEL, Conditioning, Conditions, HintKind, Hints
from model.noise_schedule import NoiseSchedule
from model.prediction import Prediction, Target, Threshold, per_row, predicted_x0, split_output, thresholded

Network = Callable[..., Tensor]
"""(x_t [rows, …], t [rows] int64, condition, *more) → [rows, C or 2C, …]. The condition is a label [rows] int64 or
NO_LABEL, or a text vector [rows, d] or zeros; an unconditional network gets labels and ignores them. A network that
jumps gets the guidance scale [rows] float32 and s [rows] int64 next; a self-conditioned one the last x̂0 [rows, …]. Last
come a `Control`'s residuals, where any row has a hint.
"""

Control = Callable[..., tuple[Tensor, ...]]
"""(x_t, t, condition, *more as for its `Network`, hint [rows, 1, H, W]) → residuals that the network adds, each
[rows, …]"""

Gradient = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(x_t [rows, …], t [rows] int64, label [rows] or text [rows, d]) → ∇ log p(label or text|x_t) [rows, …]"""


RowFunction = Network | Control | Gradient
"""What is computed of rows, each by itself: (x_t, t, condition, *more) → a tensor [rows, …], or several."""

NO_ROWS = torch.empty(0, dtype=torch.int64)


class Denoiser:
    """(x_t, t, Conditions, s) → Prediction, for rows that agree in nothing but the network.

    network           see `Network`; called once, with every row's evaluations in one batch
    schedule          the one the network was trained with
    target            the network's output: "epsilon", "v" or "x0"
    learned_variance  whether a second output carries the variance fraction
    clip              bound on |x̂0|, for data that has one (images); None for points
    threshold         dynamic thresholding, in place of `clip`
    raw_epsilon       ε̂ is the network's own, also where x̂0 was clipped: see `Prediction.clipped_off`
    needs_label       the network was never trained without a label
    text_width        length of the text vectors that the network reads; None where it reads labels, or nothing
    jumps             the network is a flow map, and reads the guidance scale (Meng 2023) and the timestep s to which it
                      jumps: one evaluation a row at every scale, and the ddim update with its x̂0 arrives at s
    self_conditioned  the network also reads the x̂0 of the step before, zeros in the first (Chen 2022 section 3.2)
    gradients         see `Gradient`: by what the rows are conditioned on; each is called with the rows that it guides
    controls          see `Control`: by the kind of hint; each is called with the rows that follow such a hint
    weak              a weaker network of the same rows, conditions and target, called with the rows that autoguidance
                      leads away from it; None where there is none
    """

    def __init__(
        self,
        network: Network,
        schedule: NoiseSchedule,
        target: Target,
        *,
        learned_variance: bool = False,
        clip: float | None = None,
        threshold: Threshold | None = None,
        raw_epsilon: bool = False,
        needs_label: bool = False,
        text_width: int | None = None,
        jumps: bool = False,
        self_conditioned: bool = False,
        gradients: Mapping[Conditioning, Gradient] = MappingProxyType({}),
        controls: Mapping[HintKind, Control] = MappingProxyType({}),
        weak: Network | None = None,
        device: torch.device | str = "cpu",
    ):
        self.network = network
        self.schedule = schedule
        self.target = target
        self.learned_variance = learned_variance
        self.clip = clip
        self.threshold = threshold
        self.raw_epsilon = raw_epsilon
        self.needs_label = needs_label
        self.text_width = text_width
        self.jumps = jumps
        self.self_conditioned = self_conditioned
        self.gradients = gradients
        self.controls = controls
        self.weak = weak
        self.device = torch.device(device)
        self._noise_level = torch.from_numpy(schedule.noise_level)
        self._alpha_bar = torch.from_numpy(schedule.alpha_bar).float().to(self.device)

    def __call__(
        self,
        x_t: Tensor,
        t: Tensor,
        conditions: Conditions,
        s: Tensor | None = None,
        x0_before: Tensor | None = None,
    ) -> Prediction:
        """x_t [rows, …] on the device; t and s [rows] int64, 1 … T and 0 … T, and the conditions on the host.

        s          where the rows arrive, which only a network that jumps reads; None is 0, the data
        x0_before  [rows, …] on the device, that only a self-conditioned network reads; None is zeros
        """
        if conditions.guidance_interval is not None:
            conditions = conditions.at(self._noise_level[t])
        s = torch.zeros_like(t) if s is None else s
        t = t.to(self.device)
        if self.jumps:
            s = s.to(self.device)
            output = self._jumped_output(x_t, t, s, conditions)
        else:
            more = (torch.zeros_like(x_t) if x0_before is None else x0_before,) if self.self_conditioned else ()
            output = self._autoguided(self._guided_output(x_t, t, conditions, *more), x_t, t, conditions)
        raw_target, variance = split_output(output, self.learned_variance)
        unclipped = predicted_x0(self.target, raw_target, x_t, self._alpha_bar[t])
        x0 = unclipped
        if self.threshold is not None:
            x0 = thresholded(unclipped, self.threshold)
        elif self.clip is not None:
            x0 = unclipped.clamp(-self.clip, self.clip)
        if self.jumps:  # the x̂0 of a jump to noise is no estimate of data
            x0 = torch.where(per_row(s == 0, x0), x0, unclipped)
        clipped_off = unclipped - x0 if self.raw_epsilon else None
        gradient = self._gradient(x_t, t, conditions)
        if (known := conditions.known) is not None:
            x0 = known.put_into(x0)
            gradient, clipped_off = known.taken_from(gradient), known.taken_from(clipped_off)
        return Prediction(x0, variance, gradient, self.clip, clipped_off)

    def no_condition(self, rows: int) -> Tensor:
        """The network's condition for unconditional rows."""
        if self.text_width is None:
            return torch.full((rows,), NO_LABEL)
        return torch.zeros(rows, self.text_width)

    def _gradient(self, x_t: Tensor, t: Tensor, conditions: Conditions) -> Tensor | None:
        """Scaled, of all that guide a row together, and zeros for rows that none guides; None where no row is guided by
        one."""
        total = None
        for what, gradient in self.gradients.items():
            guided = torch.nonzero(conditions.uses_gradient(what)).flatten()
            column = conditions.label if what == "label" else conditions.text
            if not len(guided) or column is None or conditions.gradient_scale is None:
                continue
            rows, condition = guided.to(self.device), column[guided].to(self.device)
            scale = per_row(conditions.gradient_scale[guided].to(self.device), x_t)
            total = torch.zeros_like(x_t) if total is None else total
            total[rows] += scale * gradient(x_t[rows], t[rows], condition)
        return total

    def _network_condition(self, conditions: Conditions) -> Tensor:
        """The network's third argument for every row's first evaluation."""
        if self.text_width is None:
            return conditions.label_in_use
        return self.no_condition(len(conditions)) if conditions.text is None else conditions.text_in_use

    def _jumped_output(self, x_t: Tensor, t: Tensor, s: Tensor, conditions: Conditions) -> Tensor:
        """The output of a network that reads s and the guidance scale."""
        scale = torch.where(conditions.runs_conditional, conditions.guidance_scale, 1.0).to(self.device)
        conditions = conditions.in_one_half()
        condition, hints = self._network_condition(conditions), conditions.hints_for_cfg_batch(NO_ROWS)
        return self._controlled_output(x_t, t, condition.to(self.device), hints, scale, s)

    def _guided_output(self, x_t: Tensor, t: Tensor, conditions: Conditions, *more: Tensor) -> Tensor:
        """The network's output, by classifier-free guidance for the rows that have it. `more`: what it reads next."""
        condition = self._network_condition(conditions)
        both = conditions.rows_of_both
        hints = conditions.hints_for_cfg_batch(both)
        if not len(both):
            return self._controlled_output(x_t, t, condition.to(self.device), hints, *more)

        # One batch: every row once (conditional unless its scale is 0), then the unconditional halves of guided rows.
        guided = both.to(self.device)
        condition = torch.cat([condition, self.no_condition(len(both))]).to(self.device)
        x_t, t, *more_of_both = (torch.cat([one, one[guided]]) for one in (x_t, t, *more))
        output = self._controlled_output(x_t, t, condition, hints, *more_of_both)
        output, unconditional_half = output[: -len(both)], output[-len(both) :]
        scale = conditions.guidance_scale[both].to(self.device)
        channels = x_t.shape[1]  # the target alone is guided; a learned variance is the conditional half's
        output[guided, :channels] = guidance.classifier_free(
            unconditional_half[:, :channels], output[guided, :channels], scale
        )
        return output

    def _autoguided(self, output: Tensor, x_t: Tensor, t: Tensor, conditions: Conditions) -> Tensor:
        """The output, led away from the weak network's in the rows that ask for it."""
        if self.weak is None or conditions.autoguidance_scale is None:
            return output
        led = torch.nonzero(conditions.runs_weak).flatten()
        if not len(led):
            return output
        rows, condition = led.to(self.device), self._network_condition(conditions)[led].to(self.device)
        weak = self.weak(x_t[rows], t[rows], condition)
        scale = conditions.autoguidance_scale[led].to(self.device)
        channels = x_t.shape[1]  # the target alone is guided; a learned variance is the strong network's
        output[rows, :channels] = guidance.autoguided(weak[:, :channels], output[rows, :channels], scale)
        return output

    def _controlled_output(
        self, x_t: Tensor, t: Tensor, condition: Tensor, hints: Hints | None, *more: Tensor
    ) -> Tensor:
        """The network's output, with the residuals of the rows' hints; they are zeros for rows without one."""
        if hints is None:
            return self.network(x_t, t, condition, *more)
        residuals: tuple[Tensor, ...] = ()
        for kind, control in self.controls.items():
            following = hints.of(kind)
            if not len(following):
                continue
            rows, image = following.to(self.device), hints.image[following].to(self.device)
            own = control(*(one[rows] for one in (x_t, t, condition, *more)), image)
            strength = hints.scale[following].to(self.device)
            residuals = residuals or tuple(part.new_zeros(len(x_t), *part.shape[1:]) for part in own)
            for whole, part in zip(residuals, own, strict=True):
                whole[rows] = per_row(strength.to(part.dtype), part) * part
        return self.network(x_t, t, condition, *more, *residuals)
