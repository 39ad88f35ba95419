"""One update of many rows at once. The only place where a sampler's step is computed."""

import torch
from torch import Tensor

from model import guidance
from model.prediction import Prediction
from model.sampler_spec import COLUMNS


def step(
    x: Tensor, prediction: Prediction, x0_before: Tensor, noise: Tensor, coefficients: Tensor
) -> tuple[Tensor, Tensor]:
    """x_t → (x_s, the x̂0 it was made with), each row by its own row of a plan: x_s = A·x_t + B·x̂0 + C·x̂0_before + D·z.

    x, x0_before, noise  [rows, …]; noise may be anything finite where a row draws none
    coefficients         [rows, len(COLUMNS)], as `Plan.coefficients` has them

    Rows with a learned variance form D from the variance fraction v: D² = exp(v·log β + (1−v)·log β̃) (ND21 eq. 15).
    A sampler that takes the network's own ε̂ adds what clipping took from x̂0, times its column.
    A gradient moves x̂0 where the plan says by how much (DN21 algorithm 2), else the mean by Σ = D² (algorithm 1).

    Written as separate products and sums on purpose: each is rounded alike whatever the size of the batch, so that a
    row's bits do not depend on its neighbours.
    """
    columns = coefficients.view(*coefficients.shape, *[1] * (x.dim() - 1)).unbind(1)  # each to be broadcast over x
    column = dict(zip(COLUMNS, columns, strict=True))
    x0, gradient = prediction.x0, prediction.gradient
    if gradient is not None:
        x0 = guidance.guided_x0(x0, gradient, column["x0_gradient"], prediction.clip)
    deviation = column["noise"]
    if (fraction := prediction.variance_fraction) is not None:
        log_variance = fraction * column["log_beta"] + (1 - fraction) * column["log_beta_tilde"]
        deviation = torch.where(column["learned"] > 0, torch.exp(log_variance / 2), deviation)
    mean = column["x"] * x + column["x0"] * x0 + column["x0_before"] * x0_before
    if prediction.clipped_off is not None:
        mean = mean + column["clipped_off"] * prediction.clipped_off
    if gradient is not None:
        of_mean = torch.where(column["x0_gradient"] == 0, gradient, 0.0)
        mean = guidance.guided_mean(mean, of_mean, deviation.square())
    return mean + deviation * noise, x0
