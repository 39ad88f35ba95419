"""Many samples of a checkpoint, offline."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.checkpoints.base import Precision
from model.checkpoints.config import SamplingConfig
from model.checkpoints.control import ControlCheckpoint
from model.checkpoints.denoiser import DenoiserCheckpoint
from model.checkpoints.guidance_model import GuidanceModel
from model.compilation import compiled
from model.conditions import Conditions
from model.noise import sample_seeds
from model.plan import make_plan
from model.sampling import sample

BATCH = {"images": 64, "points": 5000}  # rows of one pass


@dataclass(frozen=True, eq=False)
class Guidance:
    """Guidance by a gradient: whose, and how strong. A conditional model is shown what is asked besides, as at
    classifier-free scale 1 (DN21 section 4.3)."""

    guidance_model: GuidanceModel
    scale: float


def labelled(labels: np.ndarray, options: SamplingConfig, guidance: Guidance | None = None) -> Conditions:
    """A label [n] for each sample (−1: none), under the options' classifier-free guidance, or that of the gradient."""
    label = torch.from_numpy(labels)
    if guidance is None:
        return options.conditions(len(label), label=label)
    return Conditions.alike(len(label), label=label, guidance_scale=1.0, gradient_scale=guidance.scale)


def prompted(text: Tensor, options: SamplingConfig, guidance: Guidance | None = None) -> Conditions:
    """The same with a prompt for each sample: the vector [n, d] that its encoder makes of it."""
    if guidance is None:
        return options.conditions(len(text), text=text)
    return Conditions.alike(len(text), text=text, guidance_scale=1.0, gradient_scale=guidance.scale)


def generate(
    checkpoint: DenoiserCheckpoint,
    conditions: Conditions,
    options: SamplingConfig,
    *,
    guidance_model: GuidanceModel | None = None,
    control: ControlCheckpoint | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    precision: Precision = "float32",
    compile: bool = False,
    advance: Callable[[int], object] = lambda rows: None,
) -> Tensor:
    """A sample for each of the conditions, in the data's own units, float32 [n, …] on the CPU.

    `guidance_model` is whose gradient the conditions scale, `control` what follows their hints. Sample i has seed
    (seed + i) mod 2⁶³. To `compile` pays where samples are thousands. `advance` is told of every batch that is done.
    """
    data = checkpoint.config.data
    denoiser = checkpoint.denoiser(
        device,
        precision,
        {guidance_model.conditioning: guidance_model.gradient(device)} if guidance_model else {},
        {control.hint: control.control(device, precision)} if control else {},
    )
    if compile:
        denoiser.network = compiled(denoiser.network)
        denoiser.controls = {kind: compiled(network) for kind, network in denoiser.controls.items()}
    plan = make_plan(checkpoint.schedule, options.sampler, options.steps, eta=options.eta, variance=options.variance)
    seeds = torch.from_numpy(sample_seeds(seed, len(conditions)))
    done = []
    for start in range(0, len(conditions), BATCH[data.kind]):
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


def spread(n: int, most: int) -> np.ndarray:
    """At most so many of 0 … n − 1, evenly spread."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(np.int64))
