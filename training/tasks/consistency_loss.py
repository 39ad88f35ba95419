"""The loss of guided consistency distillation, and what it draws."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from model.conditions import NO_LABEL
from model.guidance import classifier_free
from model.noise_schedule import NoiseSchedule
from model.prediction import diffused, per_row, predicted_x0
from training.recipe import ConsistencySection, GapSection

HUBER = 0.00054  # c = HUBER·√D (Song & Dhariwal 2024, section 3.3)


def draw_timesteps(rows: int, T: int, section: ConsistencySection, generator: torch.Generator) -> Tensor:
    """[rows] int64 in 1 … T: some are T, some are uniform in the section's window, the rest are uniform in 1 … T."""
    kind = torch.rand(rows, generator=generator)
    u = torch.rand(rows, generator=generator)
    low, high = section.window
    u = torch.where(kind < section.at_T + section.in_window, low + (high - low) * u, u)
    t = (u * T).long().clamp(max=T - 1) + 1
    return torch.where(kind < section.at_T, T, t)


def draw_scales(labels: Tensor, section: ConsistencySection, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(labels [rows], some of them dropped; the guidance scale of each row, float32 on the CPU).

    The scale is 1 without a label and in a share of the other rows, else uniform in the section's range.
    """
    kind = torch.rand(len(labels), generator=generator)
    low, high = section.guidance_range
    scale = low + (high - low) * torch.rand(len(labels), generator=generator)
    shown = torch.where((kind < section.label_drop).to(labels.device), NO_LABEL, labels)
    conditional = (kind < section.label_drop + section.conditional) | (shown == NO_LABEL).cpu()
    return shown, torch.where(conditional, 1.0, scale)


def gap_at(step: int, steps: int, gaps: Sequence[GapSection]) -> int:
    """The gap of a training step, 0 … steps − 1: every section's gap in turn, for its share of the steps."""
    until = 0.0
    for section in gaps:
        until += section.share
        if step / steps < until:
            return section.gap
    return gaps[-1].gap


class ConsistencyLoss:
    """√(‖f(x_t) − y‖² + c²) − c, a mean over rows (Song 2023, algorithm 2; Song & Dhariwal 2024, section 3.3).

    f is the student's x̂0. The guided teacher takes one ddim step t → r = t − gap to x_r (Luo 2023, sections 4.2 and
    4.3), and y = f(x_r), or x_r itself at r = 0. Targets are clamped to the data's range and carry no gradient. The
    prediction is not clamped.

    teacher  puts out v and reads no scale; its parameters are frozen
    clip     bound on |x̂0|; None for data that has none
    """

    def __init__(self, schedule: NoiseSchedule, teacher: nn.Module, section: ConsistencySection, clip: float | None):
        self.schedule = schedule
        self.teacher = teacher
        self.section = section
        self._clip = math.inf if clip is None else clip
        alpha_bar = torch.from_numpy(schedule.alpha_bar)
        self._alpha_bar = alpha_bar.float()
        self._signal, self._noise = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()  # float64: r and t are near each other

    def __call__(self, student: nn.Module, x0: Tensor, labels: Tensor, gap: int, generator: torch.Generator) -> Tensor:
        """The loss of a batch: x0 [rows, …] standardised, labels [rows] int64, both on the networks' device.

        All randomness is the (CPU) generator's.
        """
        t = draw_timesteps(len(x0), self.schedule.T, self.section, generator)
        noise = torch.randn(x0.shape, generator=generator).to(x0.device)
        labels, scale = draw_scales(labels, self.section, generator)
        x_t = diffused(x0, noise, self._alpha_bar[t].to(x0.device))
        target = self.target(student, x_t, t, labels, scale, gap)
        error = (self._student_x0(student, x_t, t, labels, scale) - target).square().flatten(1).sum(1)
        c = HUBER * math.sqrt(x0[0].numel())
        return ((error + c**2).sqrt() - c).mean()

    @torch.no_grad()
    def target(self, student: nn.Module, x_t: Tensor, t: Tensor, labels: Tensor, scale: Tensor, gap: int) -> Tensor:
        """y [rows, …] float32. t [rows] int64 and scale [rows] float32 are on the CPU, the rest on the device."""
        r = (t - gap).clamp(min=0)
        y = self._ddim(x_t, self._teacher_x0(x_t, t, labels, scale), t, r)
        noisy = torch.nonzero(r).flatten()
        if len(noisy):
            rows = noisy.to(x_t.device)
            y[rows] = self._student_x0(student, y[rows], r[noisy], labels[rows], scale[noisy])
        return y.clamp(-self._clip, self._clip)

    def _teacher_x0(self, x_t: Tensor, t: Tensor, labels: Tensor, scale: Tensor) -> Tensor:
        """The guided x̂0. One batch: every row with its label, then the unconditional halves of guided rows."""
        device, guided = x_t.device, torch.nonzero(scale != 1).flatten()
        rows = guided.to(device)
        shown = torch.cat([labels, torch.full_like(labels[rows], NO_LABEL)])
        output = self.teacher(torch.cat([x_t, x_t[rows]]), torch.cat([t, t[guided]]).to(device), shown).float()
        v, unconditional = output[: len(x_t)], output[len(x_t) :]
        v[rows] = classifier_free(unconditional, v[rows], scale[guided].to(device))
        return predicted_x0("v", v, x_t, self._alpha_bar[t].to(device)).clamp(-self._clip, self._clip)

    def _student_x0(self, student: nn.Module, x_t: Tensor, t: Tensor, labels: Tensor, scale: Tensor) -> Tensor:
        output = student(x_t, t.to(x_t.device), labels, scale.to(x_t.device)).float()
        return predicted_x0("v", output, x_t, self._alpha_bar[t].to(x_t.device))

    def _ddim(self, x_t: Tensor, x0: Tensor, t: Tensor, r: Tensor) -> Tensor:
        """x_r of the deterministic step t → r (SME20 eq. 12), t and r [rows] int64 on the CPU."""
        a = self._noise[r] / self._noise[t]
        b = self._signal[r] - a * self._signal[t]
        a, b = (per_row(one.float().to(x_t.device), x_t) for one in (a, b))
        return a * x_t + b * x0
