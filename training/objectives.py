"""What a denoiser is trained on, and how timesteps are drawn."""

import numpy as np
import torch
from torch import Tensor, nn

from model.denoiser import NO_LABEL
from model.plan import Variance
from model.prediction import Target, per_row, regression_target
from model.schedule import NoiseSchedule

MIN_SNR_GAMMA = 5.0  # Hang 2023, section 3.4


def loss_weights(
    weighting: str, target: Target, schedule: NoiseSchedule, variance: Variance = "fixed-small"
) -> np.ndarray:
    """The weight of ‖target − output‖² at t = 1 … T, float64 [T + 1]; entry 0 is not used.

    simple   1: L_simple for ε (HJA20 eq. 14), and its like for v and x0
    vlb      β²/(2σ²α(1−ᾱ)) of ‖ε − ε̂‖² (HJA20 eq. 12) for a fixed Σ = σ²I; β̃_1 = 0 is replaced by β̃_2
    min-snr  min(SNR, γ)/SNR of ‖ε − ε̂‖² (Hang 2023, eq. 8)

    The last two are given for ε in the papers; at the same x_t, ‖ε − ε̂‖² is ᾱ‖v − v̂‖² and SNR·‖x0 − x̂0‖².
    """
    if weighting == "simple":
        return np.ones(schedule.T + 1)
    alpha_bar, beta = schedule.alpha_bar[1:], schedule.beta
    snr = alpha_bar / (1 - alpha_bar)
    if weighting == "vlb":
        sigma2 = beta
        if variance == "fixed-small":
            sigma2 = (1 - schedule.alpha_bar[:-1]) / (1 - alpha_bar) * beta
            sigma2[0] = sigma2[1] if schedule.T > 1 else beta[0]
        of_epsilon = beta**2 / (2 * sigma2 * (1 - beta) * (1 - alpha_bar))
    elif weighting == "min-snr":
        of_epsilon = np.minimum(snr, MIN_SNR_GAMMA) / snr
    else:
        raise ValueError(f"unknown weighting {weighting!r}: use simple, vlb or min-snr")
    of_target = of_epsilon * {"epsilon": np.ones_like(snr), "v": alpha_bar, "x0": snr}[target]
    return np.concatenate([[0.0], of_target])


def draw_timesteps(rows: int, T: int, generator: torch.Generator) -> Tensor:
    """[rows] int64 in 1 … T, each uniform, together evenly spread (Kingma 2021, appendix I.1): a steadier loss."""
    offset = torch.rand((), generator=generator)
    u = (offset + torch.arange(rows) / rows) % 1
    return (u * T).long().clamp(max=T - 1) + 1


class DenoisingLoss:
    """E over t, ε of weight(t)·‖target − network(x_t, t, label)‖², a mean over dimensions."""

    def __init__(self, schedule: NoiseSchedule, target: Target, weights: np.ndarray, label_drop: float):
        self.schedule = schedule
        self.target = target
        self.label_drop = label_drop
        self._alpha_bar = torch.from_numpy(schedule.alpha_bar).float()
        self._weights = torch.from_numpy(weights).float()

    def __call__(self, network: nn.Module, x0: Tensor, label: Tensor, generator: torch.Generator) -> Tensor:
        """The loss of a batch: x0 [rows, …] standardised, label [rows] int64, both on the network's device.

        All randomness is the (CPU) generator's. Labels are dropped per sample, never for the whole batch.
        """
        t = draw_timesteps(len(x0), self.schedule.T, generator)
        noise = torch.randn(x0.shape, generator=generator).to(x0.device)
        dropped = torch.rand(len(x0), generator=generator) < self.label_drop
        label = torch.where(dropped.to(label.device), NO_LABEL, label)
        alpha_bar = self._alpha_bar[t].to(x0.device)
        scale = per_row(alpha_bar, x0)
        x_t = scale.sqrt() * x0 + (1 - scale).sqrt() * noise
        output = network(x_t, t.to(x0.device), label).float()
        error = output - regression_target(self.target, x0, noise, alpha_bar)
        return (error.square().flatten(1).mean(1) * self._weights[t].to(x0.device)).mean()
