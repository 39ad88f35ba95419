"""Measure the likelihood that a denoiser gives to data that it was not trained on."""

from dataclasses import dataclass, replace

import numpy as np
from rich.progress import Progress

from model.checkpoints.denoiser import DenoiserCheckpoint
from model.compilation import compiled
from model.plan import trailing_timesteps
from model.sampler_spec import Variance
from training.data import trained_on
from training.evaluate.measurement import Metrics, computed, rounded
from training.evaluate.sampling_run import SamplingRun
from training.metrics.bits_per_dimension import Bits, bits_per_dimension


@dataclass(frozen=True)
class Likelihood:
    """The bound over one chain. timesteps [steps] are those of the terms, T first."""

    metrics: Metrics
    timesteps: np.ndarray
    bits: dict[Variance, Bits]


def measure_likelihood(checkpoint: DenoiserCheckpoint, steps: int, how: SamplingRun, *, rows: int) -> Likelihood:
    """Bits per dimension of rows that were not trained on, over a chain of `steps` steps; `how` draws the noise."""
    data, denoiser = checkpoint.config.data, checkpoint.denoiser(how.device, how.precision)
    how = replace(how, compile=how.compile and data.kind == "images")
    if how.compile:
        denoiser.network = compiled(denoiser.network)
    x = trained_on(checkpoint.config).held_out.some(rows).rows
    with Progress(transient=True) as progress:
        task = progress.add_task(f"{steps} steps", total=len(x) * steps)
        bits = bits_per_dimension(
            denoiser,
            data,
            x,
            steps,
            seed=how.first,
            advance=lambda network_evaluations: progress.advance(task, network_evaluations),
        )
    best = bits.get("learned", bits["fixed-small"])
    metrics: Metrics = {"samples": len(x), "seed": how.seed, **computed(how), "steps": steps}
    metrics["prior"], metrics["decoder"] = rounded(best.prior), rounded(best.terms[-1].item())
    for variance, of in bits.items():
        metrics[f"bits_{variance.replace('-', '_')}"] = rounded(of.mean)
        metrics[f"standard_error_{variance.replace('-', '_')}"] = rounded(of.standard_error)
    return Likelihood(metrics, trailing_timesteps(checkpoint.schedule.T, steps)[:-1], bits)
