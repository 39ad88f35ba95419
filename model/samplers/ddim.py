"""DDIM (SME20): from the deterministic path at η = 0 to the noise of DDPM at η = 1."""

import numpy as np

from model.sampler_spec import Columns, OptionValues, SamplerOption, SamplerSpec, Strides, fill_mean


def _fill(columns: Columns, strides: Strides, options: OptionValues) -> None:
    """SME20 eq. 12, with σ = η·√β̃ (eq. 16). If ε̂ is the network's own, and not that of the clipped x̂0, it contains what
    clipping took from x̂0."""
    beta_tilde = strides.beta_tilde
    fill_mean(columns, strides, options.eta**2 * beta_tilde)
    columns["clipped_off"][:] = -columns["x"] * np.sqrt(strides.alpha_bar_t)
    columns["noise"][:] = options.eta * np.sqrt(np.maximum(beta_tilde, 0))  # negative on a way up, where η is 0


SPEC = SamplerSpec(
    name="ddim",
    title="DDIM",
    explanation="deterministic while η is 0",
    fill=_fill,
    options=(SamplerOption("eta", 0.0, "0 is deterministic, 1 is as noisy as ddpm", bounds=(0.0, 1.0)),),
    stochastic=False,
    order=1,
    colour="#e6550d",
    reported=True,
)
