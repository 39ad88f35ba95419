"""What a denoiser is trained on, and how timesteps are drawn."""

import numpy as np
import torch
from accelerate.utils import gather
from torch import Tensor

from model.checkpoints.denoiser import PredictionConfig
from model.conditions import NO_LABEL
from model.data import DataConfig
from model.denoiser import Network
from model.noise_schedule import NoiseSchedule
from model.plan import make_plan
from model.prediction import Target, diffused, per_row, predicted_x0, regression_target, split_output
from model.sampler_spec import Variance
from training.recipe import ObjectiveSection
from training.tasks.stable_targets import KnownRows, noise_width, stable_x0
from training.tasks.variational_bound import VariationalBound

MIN_SNR_GAMMA = 5.0  # Hang 2023, section 3.4


def loss_weights(
    weighting: str, target: Target, schedule: NoiseSchedule, variance: Variance = "fixed-small"
) -> np.ndarray:
    """The weight of ‖target − output‖² at t = 1 … T, float64 [T + 1]; entry 0 is not used.

    simple   1: L_simple for ε (HJA20 eq. 14), and its like for v and x0
    vlb      β²/(2σ²α(1−ᾱ)) of ‖ε − ε̂‖² (HJA20 eq. 12) for a fixed Σ = σ²I; β̃_1 = 0 is replaced by β̃_2
    min-snr  min(SNR, γ)/SNR of ‖ε − ε̂‖² (Hang 2023, eq. 8)

    The last two are given for ε in the papers; at the same x_t, ‖ε − ε̂‖² is ᾱ‖v − v̂‖² and SNR·‖x0 − x̂0‖².
    """
    if weighting == "simple":
        return np.ones(schedule.T + 1)
    alpha_bar, beta = schedule.alpha_bar[1:], schedule.beta
    snr = alpha_bar / (1 - alpha_bar)
    if weighting == "vlb":
        plan = make_plan(schedule, "ddpm", schedule.T, variance="learned")  # T first; it has the columns of both
        sigma2 = np.exp(plan.column("log_beta" if variance == "fixed-large" else "log_beta_tilde"))[::-1]
        of_epsilon = beta**2 / (2 * sigma2 * (1 - beta) * (1 - alpha_bar))
    elif weighting == "min-snr":
        of_epsilon = np.minimum(snr, MIN_SNR_GAMMA) / snr
    else:
        raise ValueError(f"unknown weighting {weighting!r}: use simple, vlb or min-snr")
    of_target = of_epsilon * {"epsilon": np.ones_like(snr), "v": alpha_bar, "x0": snr}[target]
    return np.concatenate([[0.0], of_target])


def draw_timesteps(rows: int, T: int, generator: torch.Generator, shift: float = 1.0) -> Tensor:
    """[rows] int64 in 1 … T, each uniform, together evenly spread (Kingma 2021, appendix I.1): a steadier loss.

    shift  above 1 draws noisy timesteps more often: t/T = shift·u/(1 + (shift − 1)u) for a uniform u (Esser 2024, eq.
           23). At T as much more often, and at 1 as much less
    """
    offset = torch.rand((), generator=generator)
    u = (offset + torch.arange(rows) / rows) % 1
    if shift != 1:
        u = shift * u / (1 + (shift - 1) * u)
    return (u * T).long().clamp(max=T - 1) + 1


def shifted_probabilities(T: int, shift: float) -> Tensor:
    """The probability of t = 1 … T in `draw_timesteps`, float64 [T]."""
    if shift == 1:
        return torch.full((T,), 1 / T, dtype=torch.float64)
    edges = torch.linspace(0, 1, T + 1, dtype=torch.float64)
    return (edges / (shift - (shift - 1) * edges)).diff()


class ImportantTimesteps:
    """t drawn with p_t ∝ √E[L_t²], so that a sum over t is estimated with less noise (ND21 eq. 18).

    The expectation is over the last `HISTORY` losses of each t; until every t has so many, t is uniform.
    """

    HISTORY = 10
    UNIFORM_PART = 0.001  # every t is drawn now and then, whatever its losses were

    def __init__(self, T: int):
        self._losses = torch.zeros(T, self.HISTORY, dtype=torch.float64)
        self._seen = torch.zeros(T, dtype=torch.int64)

    @property
    def probabilities(self) -> Tensor:
        """p_t for t = 1 … T, float64 [T]."""
        T = len(self._seen)
        uniform = torch.full((T,), 1 / T, dtype=torch.float64)
        if (self._seen < self.HISTORY).any():
            return uniform
        root = self._losses.square().mean(1).sqrt()
        return (1 - self.UNIFORM_PART) * root / root.sum() + self.UNIFORM_PART * uniform

    def draw(self, rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """(t [rows] in 1 … T, the weight 1/(T·p_t) [rows] that makes a mean over rows unbiased)"""
        probabilities = self.probabilities
        index = torch.multinomial(probabilities, rows, replacement=True, generator=generator)
        return index + 1, (1 / (len(probabilities) * probabilities[index])).float()

    def observe(self, t: Tensor, losses: Tensor) -> None:
        """What was measured at t, both [rows]: of L_vlb alone, and of every process."""
        t, losses = gather(t.to(losses.device)), gather(losses.detach().double())  # NCCL takes what is on a GPU
        for index, loss in zip((t - 1).tolist(), losses.tolist(), strict=True):
            self._losses[index, self._seen[index] % self.HISTORY] = loss
            self._seen[index] += 1

    def state_dict(self) -> dict[str, Tensor]:
        return {"losses": self._losses, "seen": self._seen}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self._losses, self._seen = state["losses"], state["seen"]


class DenoisingLoss:
    """What is minimised, a mean over t, ε and dimensions, by the objective's `loss`:

    regression  weight(t)·‖target − network(x_t, t, condition)‖²
    hybrid      that + λ·L_vlb, where L_vlb teaches the variance only: its mean is detached (ND21 eq. 16)
    vlb         L_vlb, the sum of the bound's T terms, in bits per dimension (ND21 section 3.3)

    With stable targets the regression's target is that of a posterior mean. With wide noise the error of a row counts
    by 1/width², and L_vlb is of the other rows only: those are x_t that diffusion makes. A timestep shift leaves L_vlb
    unbiased.
    """

    def __init__(
        self,
        schedule: NoiseSchedule,
        prediction: PredictionConfig,
        objective: ObjectiveSection,
        data: DataConfig,
        known: KnownRows | None = None,
    ):
        """`known`: the rows of stable targets; None is those of the batch."""
        self.schedule = schedule
        self.prediction = prediction
        self.objective = objective
        self.important = ImportantTimesteps(schedule.T) if objective.timesteps == "importance" else None
        self._alpha_bar = torch.from_numpy(schedule.alpha_bar).float()
        weights = loss_weights(objective.weighting, prediction.target, schedule, objective.variance)
        self._weights = torch.from_numpy(weights).float()
        self._bound = VariationalBound(schedule, schedule.T, data)
        self._known = known
        self._importance = (1 / (schedule.T * shifted_probabilities(schedule.T, objective.timestep_shift))).float()

    def __call__(self, network: Network, x0: Tensor, condition: Tensor, generator: torch.Generator) -> Tensor:
        """The loss of a batch: x0 [rows, …] standardised, labels [rows] int64 or text [rows, d], both on the network's
        device.

        All randomness is the (CPU) generator's. Conditions are dropped per sample, never for the whole batch.
        """
        rows, T = len(x0), self.schedule.T
        if self.important is None:
            t = draw_timesteps(rows, T, generator, self.objective.timestep_shift)
            importance = self._importance[t - 1]
        else:
            t, importance = self.important.draw(rows, generator)
        noise = torch.randn(x0.shape, generator=generator).to(x0.device)
        labels = condition
        dropped = torch.rand(rows, generator=generator) < self.objective.label_drop
        nothing = torch.zeros_like(condition) if condition.is_floating_point() else NO_LABEL
        condition = torch.where(per_row(dropped, condition).to(condition.device), nothing, condition)
        alpha_bar = self._alpha_bar[t].to(x0.device)
        width = torch.ones(rows, device=x0.device)
        if self.objective.wide_noise > 1:
            width = noise_width(rows, self.objective.wide_noise, generator).to(x0.device)
        x_t = diffused(x0, per_row(width, noise) * noise, alpha_bar)
        output = network(x_t, t.to(x0.device), condition).float()
        output, v = split_output(output, self.prediction.learned_variance)

        target = self.prediction.target
        loss = torch.zeros(rows, device=x0.device)
        if self.objective.loss != "vlb":
            error = output - self._regression_target(x_t, x0, noise, alpha_bar, condition, labels)
            loss = loss + error.square().flatten(1).mean(1) * self._weights[t].to(x0.device) / width.square()
        if self.objective.loss != "regression":
            x0_hat = predicted_x0(target, output, x_t, alpha_bar)  # not clipped: the bound's mean is the network's
            if self.objective.loss == "hybrid":
                x0_hat = x0_hat.detach()
            assert v is not None  # these losses go with a learned variance
            bits = self._bound.term(x0, T - t, x0_hat, v)
            if self.important is not None:
                self.important.observe(t, bits)
            # One term of T was looked at: T times it estimates their sum.
            factor = self.objective.vlb_weight if self.objective.loss == "hybrid" else 1.0
            loss = loss + factor * T * importance.to(x0.device) * bits * (width == 1)
        return loss.mean()

    def _regression_target(
        self, x_t: Tensor, x0: Tensor, noise: Tensor, alpha_bar: Tensor, condition: Tensor, labels: Tensor
    ) -> Tensor:
        """What the output should be: by the row's own x0 and noise, or by a posterior mean of them."""
        if self.objective.stable_targets:
            if self._known is not None:
                self._known = self._known.to(x0.device)
            x0 = stable_x0(x_t, x0, alpha_bar, condition, self._known or KnownRows.of(x0, labels))
            root, sigma = per_row(alpha_bar, x0).sqrt(), per_row(1 - alpha_bar, x0).sqrt()
            noise = (x_t - root * x0) / sigma
        return regression_target(self.prediction.target, x0, noise, alpha_bar)
