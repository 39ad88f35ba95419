"""Bits per dimension: the variational bound on the code length of data under a denoiser."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from model.data import DataConfig
from model.denoiser import Denoiser
from model.noise import normal, sample_seeds
from model.prediction import diffused, per_row, predicted_x0, split_output
from model.sampler_spec import Variance, variances_of
from training.data.training_set import as_floats
from training.generate import BATCH
from training.tasks.variational_bound import VariationalBound


@dataclass
class Bits:
    """The bound −log p(x_0) ≤ L_T + Σ L_t + L_0 and its terms, in bits per dimension.

    rows   [n] float64      the whole bound of each row
    terms  [steps] float64  means over the rows of each step's term, in the order of sampling; the last is L_0
    prior  float            L_T, a mean over the rows
    """

    rows: Tensor
    terms: Tensor
    prior: float = field(default=0.0)

    @property
    def mean(self) -> float:
        """The bound, a mean over the rows."""
        return self.rows.mean().item()

    @property
    def standard_error(self) -> float:
        """The standard error of the mean over the rows; it includes the noise of each row's estimate."""
        return self.rows.std().item() / math.sqrt(len(self.rows))


@torch.inference_mode()
def bits_per_dimension(
    denoiser: Denoiser,
    data: DataConfig,
    rows: Tensor,
    steps: int,
    *,
    seed: int = 0,
    advance: Callable[[int], object] = lambda network_evaluations: None,
) -> dict[Variance, Bits]:
    """The unconditional bound of `rows` over a chain of `steps` steps, for each variance that the denoiser has.

    rows     [n, …] in the data's own units; row i takes the noise of seed + i, and one x_t at each step
    advance  called after each batch with its number of network evaluations

    One pass of the network serves all variances. x̂0 is not clipped, as in training.
    """
    bound = VariationalBound(denoiser.schedule, steps, data)
    variances = variances_of(denoiser.learned_variance)
    found = {
        variance: Bits(torch.zeros(len(rows), dtype=torch.float64), torch.zeros(steps, dtype=torch.float64))
        for variance in variances
    }
    seeds = torch.from_numpy(sample_seeds(seed, len(rows)))
    for start in range(0, len(rows), BATCH[data.kind]):
        batch = slice(start, start + BATCH[data.kind])
        x0 = data.standardise(as_floats(rows[batch])).to(denoiser.device)
        keys = seeds[batch].to(denoiser.device)
        prior = bound.prior(x0).cpu()
        for bits in found.values():
            bits.rows[batch] += prior
            bits.prior += prior.sum().item() / len(rows)
        for index, t in enumerate(bound.plan.t.tolist()):
            terms = _terms(denoiser, bound, x0, index, t, keys)
            for variance in variances:
                found[variance].rows[batch] += terms[variance]
                found[variance].terms[index] += terms[variance].sum() / len(rows)
            advance(len(x0))
    return found


def _terms(
    denoiser: Denoiser, bound: VariationalBound, x0: Tensor, index: int, t: int, seeds: Tensor
) -> dict[Variance, Tensor]:
    """The term of one step by variance: float64 [rows] on the CPU, in bits per dimension.

    x0     [rows, …] in the network's range
    index  of the step in the plan, t its time
    seeds  [rows]
    """
    times = torch.full((len(x0),), t, device=x0.device)
    noise = normal(seeds, torch.full_like(seeds, index), tuple(x0.shape[1:]))
    alpha_bar = torch.full((len(x0),), float(denoiser.schedule.alpha_bar[t]), device=x0.device)
    x_t = diffused(x0, noise, alpha_bar)
    output = denoiser.network(x_t, times, denoiser.no_condition(len(x0)).to(x0.device))
    output, learned = split_output(output, denoiser.learned_variance)
    x0_hat = predicted_x0(denoiser.target, output, x_t, alpha_bar)
    step = torch.full((len(x0),), index)
    terms = {
        variance: bound.term(x0, step, x0_hat, per_row(bound.fixed_variance_fraction(variance, step).to(x0.device), x0))
        for variance in variances_of(learned=False)
    }
    if learned is not None:
        terms["learned"] = bound.term(x0, step, x0_hat, learned)
    return {variance: bits.double().cpu() for variance, bits in terms.items()}
