"""Guidance: how a label, a prompt or a gradient changes a denoiser's prediction. Scales are per row."""

import torch
from torch import Tensor

from model.prediction import per_row


def classifier_free(unconditional: Tensor, conditional: Tensor, scale: Tensor) -> Tensor:
    """out = out_u + s·(out_c − out_u) (HS22 eq. 6, whose w is s − 1), `scale` [rows].

    Exact for every target: ε, v and x̂0 are affine in one another at the same x_t, so guiding the network's output is
    guiding ε̂.
    """
    return _led_away(unconditional, conditional, scale)


def autoguided(weak: Tensor, strong: Tensor, scale: Tensor) -> Tensor:
    """out = out_w + s·(out_s − out_w) (Karras 2024, section 4), `scale` [rows]: 1 is the strong network alone.

    Exact for every target, as `classifier_free` is.
    """
    return _led_away(weak, strong, scale)


def _led_away(start: Tensor, through: Tensor, scale: Tensor) -> Tensor:
    return start + per_row(scale, start) * (through - start)


def guided_x0(x0: Tensor, gradient: Tensor, factor: Tensor, clip: float | None) -> Tensor:
    """x̂0 + (1−ᾱ_t)/√ᾱ_t·s·g, clipped again: ε̂ − √(1−ᾱ_t)·s·g as it changes x̂0 (DN21 algorithm 2).

    x0, gradient  [rows, …]; `gradient` is s·g
    factor        (1−ᾱ_t)/√ᾱ_t, broadcast over x0
    clip          bound on |x̂0|; None for none

    Elements without a gradient keep their bits.
    """
    moved = x0 + factor * gradient
    if clip is not None:
        moved = moved.clamp(-clip, clip)
    return torch.where(gradient != 0, moved, x0)


def guided_mean(mean: Tensor, gradient: Tensor, variance: Tensor) -> Tensor:
    """μ + Σ·s·g (DN21 algorithm 1), element by element. Elements without a gradient keep their bits."""
    return torch.where(gradient != 0, mean + variance * gradient, mean)
