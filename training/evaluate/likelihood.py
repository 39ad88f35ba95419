"""Measure the likelihood of held-out data under a denoiser."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from model.checkpoints.denoiser import DenoiserCheckpoint
from model.sampler_spec import Variance
from model.timestep_spacing import trailing_timesteps
from training.data import trained_on
from training.evaluate.measurement import Metrics, computed, rounded
from training.evaluate.sampling_run import SamplingRun
from training.generate import network_in
from training.metrics.bits_per_dimension import Bits, bits_per_dimension


@dataclass(frozen=True)
class Likelihood:
    """The bound over one chain of steps.

    timesteps  [steps] int64, of the terms; T first
    bits       by the variance that the sampler takes
    """

    metrics: Metrics
    timesteps: NDArray[np.int64]
    bits: dict[Variance, Bits]


def measure_likelihood(checkpoint: DenoiserCheckpoint, steps: int, run: SamplingRun, *, rows: int) -> Likelihood:
    """Bits per dimension of at most `rows` held-out rows over a chain of `steps` steps.

    Of `run`, the device, the precision, the compilation (of images' networks) and the seed of the noise count.
    """
    data = checkpoint.config.data
    run = replace(run, compile=run.compile and data.kind == "images")
    network = network_in(checkpoint, run.device, run.precision, compile=run.compile)
    denoiser = checkpoint.denoiser(run.device, network=network)
    x = trained_on(checkpoint.config).held_out.some(rows).rows
    with Progress(transient=True) as progress:
        task = progress.add_task(f"{steps} steps", total=len(x) * steps)
        bits = bits_per_dimension(
            denoiser,
            data,
            x,
            steps,
            seed=run.first_seed,
            advance=lambda network_evaluations: progress.advance(task, network_evaluations),
        )
    best = bits.get("learned", bits["fixed-small"])
    metrics: Metrics = {"samples": len(x), "seed": run.seed, **computed(run), "steps": steps}
    metrics["prior"], metrics["decoder"] = rounded(best.prior), rounded(best.terms[-1].item())
    for variance, found in bits.items():
        metrics[f"bits_{variance.replace('-', '_')}"] = rounded(found.mean)
        metrics[f"standard_error_{variance.replace('-', '_')}"] = rounded(found.standard_error)
    return Likelihood(metrics, trailing_timesteps(checkpoint.schedule.T, steps)[:-1], bits)
