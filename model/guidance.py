"""Steering a denoiser. Scales are per row."""

from torch import Tensor

from model.prediction import per_row


def classifier_free(unconditional: Tensor, conditional: Tensor, scale: Tensor) -> Tensor:
    """out = out_u + s·(out_c − out_u) (HS22 eq. 6, whose w is s − 1), `scale` [rows].

    Exact for every target: ε, v and x̂0 are affine in one another at the same x_t, so guiding the network's output is
    guiding ε̂.
    """
    return unconditional + per_row(scale, unconditional) * (conditional - unconditional)
