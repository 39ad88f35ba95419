"""The variational bound: how many bits a model needs to say what the data is (HJA20 eq. 5)."""

import math

import torch
from torch import Tensor

from model.data import DataConfig
from model.noise_schedule import NoiseSchedule
from model.plan import Plan, make_plan
from model.prediction import per_row
from model.sampler_spec import Variance

FAR = 1e8  # standard deviations; stands for infinity where a bin is open, with finite gradients


class VariationalBound:
    """The terms of −log p(x_0) ≤ L_T + Σ_t L_t + L_0 along a chain of `steps` steps, in bits per dimension.

    schedule, steps  the chain: the ancestral sampler's, over trailing timesteps
    data             tells images (bins of 8 bits) from points (a density, in the data's own units)
    """

    def __init__(self, schedule: NoiseSchedule, steps: int, data: DataConfig):
        # The plan of a learned variance has both of its bounds, and they are those of the fixed variances.
        self.plan: Plan = make_plan(schedule, "ddpm", steps, variance="learned")
        self.data = data
        self._last = steps - 1
        self._alpha_bar_T = float(schedule.alpha_bar[-1])
        self._columns = {
            name: torch.from_numpy(self.plan.column(name).copy()) for name in ("x0", "log_beta", "log_beta_tilde")
        }

    def term(self, x0: Tensor, index: Tensor, x0_hat: Tensor, variance_fraction: Tensor) -> Tensor:
        """L of step plan[index] for each row, [rows]: D_KL(q(x_s|x_t,x_0) ‖ p(x_s|x_t)), or −log p(x_0|x_t) at s = 0.

        x0, x0_hat  [rows, …] standardised; the means of q and p lie B·(x_0 − x̂_0) apart, as B·x̂_0 is all that
                    differs between them
        index       [rows] int64, on the CPU
        variance_fraction  like x0, or [rows, 1, …]: the variance of p (ND21 eq. 15), see `fixed_variance_fraction`
        """
        column = {name: per_row(values[index].to(x0.device, x0.dtype), x0) for name, values in self._columns.items()}
        log_variance = (
            variance_fraction * column["log_beta"] + (1 - variance_fraction) * column["log_beta_tilde"]
        ).expand_as(x0)
        apart = column["x0"] * (x0 - x0_hat)
        log_ratio = column["log_beta_tilde"] - log_variance
        nats = (log_ratio.exp() - 1 - log_ratio + apart.square() * torch.exp(-log_variance)) / 2
        # The rows that arrive are picked out, not masked: elsewhere the likelihood's gradient overflows: 0·∞ is NaN.
        arrives = (index == self._last).nonzero().flatten().to(x0.device)
        if len(arrives):
            likelihood = self._log_likelihood(x0[arrives], x0_hat[arrives], log_variance[arrives])
            nats = nats.index_copy(0, arrives, -likelihood)
        return _bits(nats)

    def prior(self, x0: Tensor) -> Tensor:
        """L_T = D_KL(q(x_T|x_0) ‖ N(0, I)), [rows]: what the schedule leaves to be seen at its end."""
        a = torch.tensor(self._alpha_bar_T, dtype=torch.float64, device=x0.device)
        return _bits((a * x0.double().square() - a - torch.log1p(-a)) / 2)

    def fixed_variance_fraction(self, variance: Variance, index: Tensor) -> Tensor:
        """v, [rows], that makes a fixed variance: 0 is β̃, 1 is β. `index` is [rows].

        On the last step both are the clipped β̃: β_1 is a worse decoder (ND21's reference code does the same).
        """
        return ((index != self._last) & (variance == "fixed-large")).float()

    def _log_likelihood(self, x0: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
        """log p(x_0|x_1) of every element, in nats."""
        inverse_deviation = torch.exp(-log_variance / 2)
        if self.data.kind == "points":
            unit = 1 / torch.tensor(self.data.std, dtype=x0.dtype, device=x0.device)  # dx/d(data's own units)
            z = (x0 - mean) * inverse_deviation
            return -(z.square() + log_variance + math.log(2 * math.pi)) / 2 + unit.log()
        # HJA20 eq. 13: the mass of the pixel's bin, the outermost bins reaching to infinity.
        value = self.data.restore(x0).round()
        below = (self.data.standardise(value - 0.5) - mean) * inverse_deviation
        above = (self.data.standardise(value + 0.5) - mean) * inverse_deviation
        below = torch.where(value <= 0, -FAR, below)
        above = torch.where(value >= 255, FAR, above)
        return _log_normal_mass(below, above)


def _log_normal_mass(below: Tensor, above: Tensor) -> Tensor:
    """log(Φ(above) − Φ(below)), exact in the tails: mirrored to where Φ is small."""
    mirrored = below > 0
    below, above = torch.where(mirrored, -above, below), torch.where(mirrored, -below, above)
    log_above = torch.special.log_ndtr(above)
    mass: Tensor = log_above + torch.log(-torch.expm1(torch.special.log_ndtr(below) - log_above))
    return mass


def _bits(nats: Tensor) -> Tensor:
    """[rows, …] nats of every element → [rows] bits per dimension."""
    return nats.flatten(1).mean(1) / math.log(2)
