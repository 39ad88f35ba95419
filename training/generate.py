"""Many samples of a checkpoint, offline."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.checkpoint import Checkpoint, Precision, SamplingConfig
from model.classifier import ClassifierCheckpoint
from model.denoiser import Conditions
from model.noise import sample_seeds
from model.plan import make_plan
from model.sample import sample

BATCH = {"images": 64, "points": 5000}


@dataclass(frozen=True, eq=False)
class Steering:
    """Classifier guidance: whose gradient, and how strong. A conditional model is shown the label besides, as at
    classifier-free scale 1 (DN21 section 4.3)."""

    checkpoint: ClassifierCheckpoint
    scale: float


def generate(
    checkpoint: Checkpoint,
    labels: np.ndarray,
    options: SamplingConfig,
    *,
    steering: Steering | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    precision: Precision = "float32",
    advance: Callable[[int], object] = lambda rows: None,
) -> Tensor:
    """One sample for each label (−1: none), in the data's own units, float32 [n, …] on the CPU.

    Sample i has seed (seed + i) mod 2⁶³; `advance` is told of every batch that is done.
    """
    data = checkpoint.config.data
    gradient = steering and steering.checkpoint.classifier(device).gradient
    denoiser = checkpoint.denoiser(device, precision, gradient)
    plan = make_plan(checkpoint.schedule, options.sampler, options.steps, eta=options.eta, variance=options.variance)
    wanted = torch.from_numpy(labels)
    classifier_free, of_classifier = (1.0, steering.scale) if steering else (options.guidance_scale, 0.0)
    conditions = Conditions(
        wanted, torch.full((len(wanted),), classifier_free), torch.full((len(wanted),), of_classifier)
    )
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
