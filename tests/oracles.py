"""Denoisers that are known exactly: what samplers and guidance are measured against."""

import math

import torch
from torch import Tensor

from model.checkpoints.classifier import Classifier
from model.conditions import NO_LABEL
from model.denoiser import Denoiser
from model.noise_schedule import NoiseSchedule
from model.prediction import Target, per_row, regression_target


def log_snr(alpha_bar: float) -> float:
    """log(ᾱ/(1−ᾱ)); infinite where there is no noise."""
    return math.inf if alpha_bar == 1 else math.log(alpha_bar) - math.log1p(-alpha_bar)


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

    def log_density(self, x_t: Tensor, alpha_bar: Tensor) -> Tensor:
        """log q(x_t) of the whole mixture, [rows]."""
        variance = alpha_bar * self.std**2 + 1 - alpha_bar
        components = torch.distributions.Normal(
            alpha_bar.sqrt().view(-1, 1, 1) * self.means, variance.sqrt().view(-1, 1, 1)
        )
        each = components.log_prob(x_t.unsqueeze(1)).sum(2)
        return each.logsumexp(1) - math.log(len(self.means))

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        component = torch.randint(len(self.means), (n,), generator=generator)
        noise = torch.randn(n, self.means.shape[1], generator=generator, dtype=torch.float64)
        return (self.means[component] + self.std * noise).float()

    def flow(self, x: Tensor, t: int, s: int, steps: int = 400) -> Tensor:
        """x_t → x_s along the probability-flow ODE, in float64.

        With z = x/√ᾱ and λ = log(√ᾱ/√(1−ᾱ)) it reads dz/dλ = x̂0 − z (Lu22 eq. 8 in other letters). Runge-Kutta of
        order 4, and from λ = 9, where the noise left is 10⁻⁴, to the data x̂0 itself: wrong there by less than 10⁻⁷.
        """
        label = torch.full((len(x),), NO_LABEL)

        def x0(z: Tensor, lam: float) -> Tensor:
            alpha_bar = torch.full((len(z),), 1 / (1 + math.exp(-2 * lam)), dtype=torch.float64)
            return self.posterior_mean(z * alpha_bar.sqrt().unsqueeze(1), alpha_bar, label)

        lam, end = (min(log_snr(self.schedule.alpha_bar[index]) / 2, 9.0) for index in (t, s))
        h = (end - lam) / steps
        z = x.double() / math.sqrt(self.schedule.alpha_bar[t])
        for _ in range(steps):
            k1 = x0(z, lam) - z
            k2 = x0(z + h / 2 * k1, lam + h / 2) - (z + h / 2 * k1)
            k3 = x0(z + h / 2 * k2, lam + h / 2) - (z + h / 2 * k2)
            k4 = x0(z + h * k3, lam + h) - (z + h * k3)
            z, lam = z + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4), lam + h
        return x0(z, lam) if s == 0 else z * math.sqrt(self.schedule.alpha_bar[s])

    def logits(self, scaled: Tensor, t: Tensor) -> Tensor:
        """Of each component, given √ᾱ_t·x_t: the network of a `Classifier` that makes no mistakes."""
        alpha_bar = torch.from_numpy(self.schedule.alpha_bar)[t].unsqueeze(1)
        variance = alpha_bar * self.std**2 + 1 - alpha_bar
        return (scaled.double() @ self.means.T - alpha_bar * self.means.square().sum(1) / 2) / variance

    def guided(self) -> Denoiser:
        """`denoiser`, with the exact classifier."""
        return Denoiser(
            self, self.schedule, self.target, gradients={"label": Classifier(self.logits, self.schedule).gradient}
        )

    def denoiser(self) -> Denoiser:
        return Denoiser(self, self.schedule, self.target)
