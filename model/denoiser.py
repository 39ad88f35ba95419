"""From a noisy row and what is asked of it to what the network believes."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from model import guidance
from model.prediction import Prediction, Target, per_row, predicted_x0, split_output
from model.schedule import NoiseSchedule

NO_LABEL = -1

Network = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(x_t [rows, …], t [rows] int64, label [rows] int64 or NO_LABEL) → [rows, C or 2C, …]"""

Gradient = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(x_t [rows, …], t [rows] int64, label [rows] int64) → ∇ log p(label|x_t) [rows, …]"""


@dataclass(frozen=True)
class Conditions:
    """What is asked of each row. Kept on the host: which networks run on which rows is decided there, without a sync.

    label             [rows] int64, NO_LABEL where none is asked for; an unconditional network does not look at it
    guidance_scale    [rows] float32, classifier-free: 0 unconditional, 1 conditional, more is guided
    classifier_scale  [rows] float32, of the classifier's gradient: 0 is off, None off for all
    """

    label: Tensor
    guidance_scale: Tensor
    classifier_scale: Tensor | None = None

    @staticmethod
    def none(rows: int) -> "Conditions":
        return Conditions(torch.full((rows,), NO_LABEL), torch.zeros(rows))

    def __getitem__(self, index: slice) -> "Conditions":
        of_classifier = None if self.classifier_scale is None else self.classifier_scale[index]
        return Conditions(self.label[index], self.guidance_scale[index], of_classifier)

    @property
    def wants_conditional(self) -> Tensor:
        return (self.label != NO_LABEL) & (self.guidance_scale != 0)

    @property
    def wants_unconditional(self) -> Tensor:
        return (self.label == NO_LABEL) | (self.guidance_scale != 1)

    @property
    def wants_gradient(self) -> Tensor:
        if self.classifier_scale is None:
            return torch.zeros(len(self.label), dtype=torch.bool)
        return (self.label != NO_LABEL) & (self.classifier_scale != 0)


def evaluations(label: int | None, guidance_scale: float, classifier_scale: float = 0.0) -> int:
    """Network evaluations a row with these conditions costs at each step.

    One, one more for classifier-free guidance, one more for a gradient: a classifier is half a network, taken forward
    and backward.
    """
    if label is None:
        return 1
    return 1 + (guidance_scale not in (0, 1)) + (classifier_scale != 0)


class Denoiser:
    """(x_t, t, Conditions) → Prediction, for rows that agree in nothing but the network.

    network           see `Network`; called once, with every row's evaluations in one batch
    schedule          the one the network was trained with
    target            what the network puts out: "epsilon", "v" or "x0"
    learned_variance  whether a second output carries v
    clip              bound on |x̂0|, for data that has one (images); None for points
    classifier        see `Gradient`; called with the rows it steers, None where there is none
    """

    def __init__(
        self,
        network: Network,
        schedule: NoiseSchedule,
        target: Target,
        *,
        learned_variance: bool = False,
        clip: float | None = None,
        classifier: Gradient | None = None,
        device: torch.device | str = "cpu",
    ):
        self.network = network
        self.schedule = schedule
        self.target = target
        self.learned_variance = learned_variance
        self.clip = clip
        self.classifier = classifier
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

    def _gradient(self, x_t: Tensor, t: Tensor, conditions: Conditions) -> Tensor | None:
        steered = torch.nonzero(conditions.wants_gradient).flatten()
        if not len(steered):
            return None
        rows, label = steered.to(self.device), conditions.label[steered].to(self.device)
        scale = per_row(conditions.classifier_scale[steered].to(self.device), x_t)
        gradient = torch.zeros_like(x_t)
        gradient[rows] = scale * self.classifier(x_t[rows], t[rows], label)
        return gradient

    def _guided_output(self, x_t: Tensor, t: Tensor, conditions: Conditions) -> Tensor:
        conditional, unconditional = conditions.wants_conditional, conditions.wants_unconditional
        label = torch.where(conditional, conditions.label, NO_LABEL)
        both = torch.nonzero(conditional & unconditional).flatten()
        if not len(both):
            return self.network(x_t, t, label.to(self.device))

        # One batch: every row once (conditional where it is asked for), then the unconditional halves of guided rows.
        guided = both.to(self.device)
        labels = torch.cat([label, torch.full((len(both),), NO_LABEL)]).to(self.device)
        output = self.network(torch.cat([x_t, x_t[guided]]), torch.cat([t, t[guided]]), labels)
        output, unconditional_half = output[: len(x_t)], output[len(x_t) :]
        scale = conditions.guidance_scale[both].to(self.device)
        channels = x_t.shape[1]  # the target alone is guided; a learned variance is the conditional half's
        output[guided, :channels] = guidance.classifier_free(
            unconditional_half[:, :channels], output[guided, :channels], scale
        )
        return output
