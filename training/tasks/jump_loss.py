"""The loss of a flow map: a regression of its jumps on stored runs of the teacher."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from model.noise_schedule import NoiseSchedule
from model.prediction import per_row, predicted_x0
from training.flow_map_section import FlowMapSection
from training.generate import labels_in_proportion
from training.tasks.trajectories import SEGMENTS, grid

Student = Callable[..., Tensor]
"""(x_t, t, condition, scale, s, *hint) → v, each with a row a run"""

HUBER = 0.00054  # c = HUBER·√D (Song & Dhariwal 2024, section 3.3)


class JumpLoss:
    """√(‖x̂_s − x_s‖² + c²) − c, a mean over rows. x_s lies on a run of the teacher. x̂_s is the student's jump from t,
    from that run's x_t, or from where its own jumps lead from the run's noise: it learns to mend what those did wrong.

    The square root gives the gradient of each row about the same length: the last, short jumps have small errors, which
    stay in the sample, and count as much as the long ones.
    """

    def __init__(self, schedule: NoiseSchedule, section: FlowMapSection):
        self._section = section
        self._timesteps = torch.from_numpy(grid(schedule.T).copy())
        alpha_bar = torch.from_numpy(schedule.alpha_bar)
        self._alpha_bar = alpha_bar.float()
        self._signal, self._noise = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()

    def __call__(self, student: Student, runs: Tensor, given: tuple[Tensor, ...], generator: torch.Generator) -> Tensor:
        """The loss of a batch: runs [rows, SEGMENTS + 1, …], and what the student reads of each besides x, t and s, as
        `Trajectories.given` has it. All are on the network's device; all randomness is the (CPU) generator's."""
        t, s = self.quarters(len(runs))
        own = torch.rand(len(runs), generator=generator) < self._section.on_policy
        x_t = self.starts(student, runs, t, s, own, given)
        x_s = runs[torch.arange(len(runs)), SEGMENTS - s]
        error = (self.jump(student, x_t, t, s, given) - x_s).square().flatten(1).sum(1)
        c = HUBER * math.sqrt(x_t[0].numel())
        return ((error + c**2).sqrt() - c).mean()

    @torch.no_grad()
    def starts(
        self, student: Student, runs: Tensor, t: Tensor, s: Tensor, own: Tensor, given: tuple[Tensor, ...]
    ) -> Tensor:
        """x_t [rows, …]: on the runs; where `own` [rows] bool is true, at the end of the student's own jumps from the
        runs' noise, each as long as t → s."""
        x, at = runs[:, 0].clone(), torch.full_like(t, SEGMENTS)
        while len(moving := torch.nonzero(own & (at > t)).flatten()):
            rows = moving.to(x.device)
            to = at[moving] - (t - s)[moving]
            x[rows] = self.jump(student, x[rows], at[moving], to, tuple(one[rows] for one in given))
            at[moving] = to
        return torch.where(per_row(own.to(x.device), x), x, runs[torch.arange(len(runs)), SEGMENTS - t])

    def quarters(self, rows: int) -> tuple[Tensor, Tensor]:
        """(t, s) of each row of a batch [rows] int64, in quarters of T: every jump in its share, as near as can be."""
        jumps = self._section.jumps
        kind = labels_in_proportion(np.array([jump.share for jump in jumps]), rows)
        return torch.tensor([jump.t for jump in jumps])[kind], torch.tensor([jump.s for jump in jumps])[kind]

    def jump(self, student: Student, x_t: Tensor, t: Tensor, s: Tensor, given: tuple[Tensor, ...]) -> Tensor:
        """x̂_s [rows, …]: one deterministic ddim step (SME20 eq. 12) with the student's x̂0, which is not clamped.

        t, s  [rows] int64 in quarters of T, on the CPU
        """
        device, (t, s) = x_t.device, (self._timesteps[SEGMENTS - quarter] for quarter in (t, s))
        condition, scales, *hints = given
        output = student(x_t, t.to(device), condition, scales, s.to(device), *hints).float()
        x0 = predicted_x0("v", output, x_t, self._alpha_bar[t].to(device))
        a = self._noise[s] / self._noise[t]
        b = self._signal[s] - a * self._signal[t]
        a, b = (per_row(one.float().to(device), x_t) for one in (a, b))
        return a * x_t + b * x0
