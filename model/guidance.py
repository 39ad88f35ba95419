"""Steering a denoiser. Scales are per row."""

import torch
from torch import Tensor

from model.prediction import Prediction, per_row


def classifier_free(unconditional: Tensor, conditional: Tensor, scale: Tensor) -> Tensor:
    """out = out_u + s·(out_c − out_u) (HS22 eq. 6, whose w is s − 1), `scale` [rows].

    Exact for every target: ε, v and x̂0 are affine in one another at the same x_t, so guiding the network's output is
    guiding ε̂.
    """
    return unconditional + per_row(scale, unconditional) * (conditional - unconditional)


def steered_x0(prediction: Prediction, factor: Tensor) -> Tensor:
    """x̂0 + (1−ᾱ_t)/√ᾱ_t·s·g, clipped again: ε̂ − √(1−ᾱ_t)·s·g said of x̂0 (DN21 algorithm 2).

    `factor` broadcasts over x0. Elements without a gradient keep their bits.
    """
    gradient = prediction.gradient
    x0 = prediction.x0 + factor * gradient
    if prediction.clip is not None:
        x0 = x0.clamp(-prediction.clip, prediction.clip)
    return torch.where(gradient != 0, x0, prediction.x0)


def steered_mean(mean: Tensor, gradient: Tensor, variance: Tensor) -> Tensor:
    """μ + Σ·s·g (DN21 algorithm 1), element by element. Elements without a gradient keep their bits."""
    return torch.where(gradient != 0, mean + variance * gradient, mean)
