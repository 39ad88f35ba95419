"""Many samples of a checkpoint, offline."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from model.checkpoint import Checkpoint, Precision, SamplingConfig
from model.denoiser import Conditions
from model.noise import sample_seeds
from model.plan import make_plan
from model.sample import sample

BATCH = {"images": 64, "points": 5000}


def generate(
    checkpoint: Checkpoint,
    labels: np.ndarray,
    options: SamplingConfig,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    precision: Precision = "float32",
    advance: Callable[[int], object] = lambda rows: None,
) -> Tensor:
    """One sample for each label (−1: none), in the data's own units, float32 [n, …] on the CPU.

    Sample i has seed (seed + i) mod 2⁶³; `advance` is told of every batch that is done.
    """
    data = checkpoint.config.data
    denoiser = checkpoint.denoiser(device, precision)
    plan = make_plan(checkpoint.schedule, options.sampler, options.steps, eta=options.eta, variance=options.variance)
    wanted = torch.from_numpy(labels)
    conditions = Conditions(wanted, torch.full((len(wanted),), options.guidance_scale))
    seeds = torch.from_numpy(sample_seeds(seed, len(wanted)))
    done = []
    for start in range(0, len(wanted), BATCH[data.kind]):
        rows = slice(start, start + BATCH[data.kind])
        x = sample(denoiser, plan, conditions[rows], seeds[rows], data.shape)
        done.append(data.restore(x).cpu())
        advance(len(x))
    return torch.cat(done)


def labels_in_proportion(counts: np.ndarray, n: int) -> np.ndarray:
    """n labels, sorted, each class as often as in `counts` [classes] to within one (largest remainders)."""
    exact = counts / counts.sum() * n
    whole = np.floor(exact).astype(np.int64)
    whole[np.argsort(whole - exact, kind="stable")[: n - whole.sum()]] += 1
    return np.repeat(np.arange(len(counts)), whole)
