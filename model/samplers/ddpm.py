"""DDPM: the ancestral sampler (HJA20 algorithm 2), on strides of any length."""

import numpy as np

from model.sampler_spec import (
    VARIANCES,
    Columns,
    Floats,
    OptionValues,
    SamplerOption,
    SamplerSpec,
    Strides,
    fill_mean,
)

LEAST_BETA = 1e-20  # its log is taken, also of a last step that changes nothing


def _fill(columns: Columns, strides: Strides, options: OptionValues) -> None:
    """The mean of q(x_s|x_t, x̂0) with a variance β̃, β (HJA20 section 3.2) or between both (ND21 eq. 15)."""
    beta, beta_tilde = strides.beta, strides.beta_tilde
    fill_mean(columns, strides, beta_tilde)
    if options.variance == "learned":
        columns["log_beta"][:] = np.log(np.maximum(beta, LEAST_BETA))
        columns["log_beta_tilde"][:] = _log_beta_tilde(beta_tilde, beta)
        columns["learned"][:-1] = 1
    else:
        columns["noise"][:] = np.sqrt(beta_tilde if options.variance == "fixed-small" else beta)


def _log_beta_tilde(beta_tilde: Floats, beta: Floats) -> Floats:
    """log β̃. In the last row β̃ is 0, and the row before stands in, as in ND21."""
    clipped = beta_tilde.copy()
    clipped[-1] = beta_tilde[-2] if len(beta_tilde) > 1 else beta[-1]
    return np.log(np.maximum(clipped, LEAST_BETA))


SPEC = SamplerSpec(
    name="ddpm",
    title="DDPM",
    explanation="new noise at every step; wants many steps",
    fill=_fill,
    options=(
        SamplerOption("variance", "fixed-small", "Σ of a step: β̃, β, or what the model has learned", choices=VARIANCES),
    ),
    stochastic=True,
    order=1,
    gradient_moves="mean",
    colour="#084594",
    reported=True,
)
