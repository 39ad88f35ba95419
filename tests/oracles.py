"""Denoisers that are known exactly: what samplers and guidance are measured against."""

import torch
from torch import Tensor

from model.denoiser import NO_LABEL, Denoiser
from model.prediction import Target, per_row, regression_target
from model.schedule import NoiseSchedule


class MixtureOracle:
    """E[x_0 | x_t] of a mixture of Gaussians N(m_k, σ²I) with equal weights; with a label, of its component alone.

    A "network" for `Denoiser`: called with (x_t, t, label) it puts out its target in float32, computed in float64.
    `rows_seen` lists how many rows each call had.
    """

    def __init__(self, schedule: NoiseSchedule, means: list[list[float]], std: float, target: Target = "x0"):
        self.schedule = schedule
        self.means = torch.tensor(means, dtype=torch.float64)
        self.std = std
        self.target = target
        self.rows_seen: list[int] = []

    def __call__(self, x_t: Tensor, t: Tensor, label: Tensor) -> Tensor:
        self.rows_seen.append(len(x_t))
        alpha_bar = torch.from_numpy(self.schedule.alpha_bar)[t]
        x0 = self.posterior_mean(x_t.double(), alpha_bar, label)
        noise = (x_t.double() - per_row(alpha_bar.sqrt(), x0) * x0) / per_row((1 - alpha_bar).sqrt(), x0)
        return regression_target(self.target, x0, noise, alpha_bar).float()

    def posterior_mean(self, x_t: Tensor, alpha_bar: Tensor, label: Tensor) -> Tensor:
        root = alpha_bar.sqrt().unsqueeze(1)
        variance = (alpha_bar * self.std**2 + 1 - alpha_bar).unsqueeze(1)  # of x_t in one component
        away = x_t.unsqueeze(1) - root.unsqueeze(1) * self.means  # [rows, k, d]
        logits = -away.square().sum(2) / (2 * variance)
        one = torch.arange(len(self.means)) == label.unsqueeze(1)
        logits = logits.masked_fill((label != NO_LABEL).unsqueeze(1) & ~one, -torch.inf)
        each = self.means + root.unsqueeze(1) * self.std**2 / variance.unsqueeze(1) * away
        return (logits.softmax(1).unsqueeze(2) * each).sum(1)

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        component = torch.randint(len(self.means), (n,), generator=generator)
        noise = torch.randn(n, self.means.shape[1], generator=generator, dtype=torch.float64)
        return (self.means[component] + self.std * noise).float()

    def denoiser(self) -> Denoiser:
        return Denoiser(self, self.schedule, self.target)
