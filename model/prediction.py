"""What a network's output means."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Target = Literal["epsilon", "v", "x0"]


@dataclass(frozen=True)
class Prediction:
    """What a denoiser believes of rows x_t.

    x0                 [rows, …]  the posterior mean of the data, x̂0
    variance_fraction  [rows, …] or None  ND21 eq. 15's v: where between β̃ (0) and β (1) the log variance of a step
                       lies, per element, unconstrained
    gradient           [rows, …] or None  s·∇ log p(y|x_t), 0 in rows without guidance by a gradient. x0 does not
                       contain it yet, because the sampler decides what it does
    clip               bound on |x̂0|, also after the gradient has moved it; None for none
    clipped_off        [rows, …] or None  what clipping took from x̂0, for models whose ε̂ is the network's own; None
                       where ε̂ is that of x0
    """

    x0: Tensor
    variance_fraction: Tensor | None = None
    gradient: Tensor | None = None
    clip: float | None = None
    clipped_off: Tensor | None = None


@dataclass(frozen=True)
class Threshold:
    """Dynamic thresholding (Saharia 2022, section 2.3): each row is clipped at its own level, then scaled back to 1.

    ratio    of a row's |x̂0| that lie within its level, 0 … 1
    largest  a level is at least 1 and at most this
    """

    ratio: float
    largest: float


def thresholded(x0: Tensor, threshold: Threshold) -> Tensor:
    """x̂0 [rows, …], each row within −1 … 1."""
    ordered = x0.abs().flatten(1).sort(dim=1).values
    position = threshold.ratio * (ordered.shape[1] - 1)  # between two elements the level is interpolated
    lower = int(position)
    upper = min(lower + 1, ordered.shape[1] - 1)
    quantile = ordered[:, lower] + (position - lower) * (ordered[:, upper] - ordered[:, lower])
    level = per_row(quantile.clamp(1, max(1, threshold.largest)), x0)
    return x0.clamp(-level, level) / level


def per_row(values: Tensor, like: Tensor) -> Tensor:
    """[rows] → [rows, 1, …], to be broadcast over `like`."""
    return values.view(-1, *[1] * (like.dim() - 1))


def diffused(x0: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """x_t = √ᾱ x_0 + √(1−ᾱ) ε (HJA20 eq. 4). `alpha_bar` is [rows]."""
    alpha_bar = per_row(alpha_bar, x0)
    return alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * noise


def regression_target(target: Target, x0: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """What the network is trained to put out, given x_t = √ᾱ x0 + √(1−ᾱ) ε.

    ε (HJA20 eq. 14), v = √ᾱ ε − √(1−ᾱ) x0 (Salimans & Ho 2022, section 4) or x0. `alpha_bar` is [rows].
    """
    if target == "epsilon":
        return noise
    if target == "x0":
        return x0
    alpha_bar = per_row(alpha_bar, x0)
    return alpha_bar.sqrt() * noise - (1 - alpha_bar).sqrt() * x0


def predicted_x0(target: Target, output: Tensor, x_t: Tensor, alpha_bar: Tensor) -> Tensor:
    """x̂0 from a network's output, the inverse of `regression_target`. `alpha_bar` is [rows], in (0, 1)."""
    if target == "x0":
        return output
    alpha_bar = per_row(alpha_bar, x_t)
    if target == "epsilon":
        return (x_t - (1 - alpha_bar).sqrt() * output) / alpha_bar.sqrt()
    return alpha_bar.sqrt() * x_t - (1 - alpha_bar).sqrt() * output


def score(x0: Tensor, x_t: Tensor, alpha_bar: Tensor) -> Tensor:
    """∇ log p(x_t) [rows, …] = (√ᾱ x̂0 − x_t)/(1−ᾱ), from the posterior mean x̂0 (Tweedie's formula).

    `alpha_bar` is [rows], in [0, 1).
    """
    alpha_bar = per_row(alpha_bar, x_t)
    return (alpha_bar.sqrt() * x0 - x_t) / (1 - alpha_bar)


def split_output(output: Tensor, learned_variance: bool) -> tuple[Tensor, Tensor | None]:
    """A network's output [rows, C or 2C, …] → (target, variance fraction or None).

    The variance fraction is (second half + 1)/2.
    """
    if not learned_variance:
        return output, None
    target, raw = torch.chunk(output, 2, dim=1)
    return target, (raw + 1) / 2
