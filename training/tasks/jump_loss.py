"""The loss of a flow map: a regression of its jumps on stored runs of the teacher."""

import math

import numpy as np
import torch
from torch import Tensor, nn

from model.noise_schedule import NoiseSchedule
from model.prediction import per_row, predicted_x0
from training.generate import labels_in_proportion
from training.recipe import JumpSection
from training.tasks.trajectories import SEGMENTS, grid

HUBER = 0.00054  # c = HUBER·√D (Song & Dhariwal 2024, section 3.3)


class JumpLoss:
    """√(‖x̂_s − x_s‖² + c²) − c, a mean over rows. x_t and x_s lie on one run of the teacher, and x̂_s is the student's
    jump t → s.

    The square root gives each row's gradient about the same length. So the short jumps, whose errors are small and stay
    in the sample, are learned as exactly as the long ones (few-step precision depends on them).

    jumps  a batch has each of them in its share
    """

    def __init__(self, schedule: NoiseSchedule, jumps: tuple[JumpSection, ...]):
        self._jumps = jumps
        self._timesteps = torch.from_numpy(grid(schedule.T))
        alpha_bar = torch.from_numpy(schedule.alpha_bar)
        self._alpha_bar = alpha_bar.float()
        self._signal, self._noise = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()

    def __call__(self, student: nn.Module, runs: Tensor, labels: Tensor, scales: Tensor) -> Tensor:
        """The loss of a batch: runs [rows, SEGMENTS + 1, …], labels [rows] int64, scales [rows] float32, all on the
        network's device."""
        start, end = self.quarters(len(runs))
        row = torch.arange(len(runs))
        x_t, x_s = (runs[row, SEGMENTS - quarter] for quarter in (start, end))
        t, s = (self._timesteps[SEGMENTS - quarter] for quarter in (start, end))
        error = (self.jump(student, x_t, t, s, labels, scales) - x_s).square().flatten(1).sum(1)
        c = HUBER * math.sqrt(x_t[0].numel())
        return ((error + c**2).sqrt() - c).mean()

    def quarters(self, rows: int) -> tuple[Tensor, Tensor]:
        """(t, s) of each row of a batch [rows] int64, in quarters of T: every jump in its share, as near as can be."""
        shares = np.array([jump.share for jump in self._jumps])
        kind = labels_in_proportion(shares, rows)
        t, s = (torch.tensor([getattr(jump, end) for jump in self._jumps])[kind] for end in ("t", "s"))
        return t, s

    def jump(self, student: nn.Module, x_t: Tensor, t: Tensor, s: Tensor, labels: Tensor, scales: Tensor) -> Tensor:
        """x̂_s [rows, …]: one deterministic ddim step (SME20 eq. 12) with the student's x̂0, which is not clamped.

        t, s  [rows] int64, on the CPU
        """
        device = x_t.device
        output = student(x_t, t.to(device), labels, scales, s.to(device)).float()
        x0 = predicted_x0("v", output, x_t, self._alpha_bar[t].to(device))
        a = self._noise[s] / self._noise[t]
        b = self._signal[s] - a * self._signal[t]
        a, b = (per_row(one.float().to(device), x_t) for one in (a, b))
        return a * x_t + b * x0
