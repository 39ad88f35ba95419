"""What classifiers and CLIP share: networks that take noisy rows, and gradients of their scores."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from model.checkpoints.base import Checkpoint
from model.checkpoints.config import DiffusionConfig, NetworkT, SamplingOverrides
from model.checkpoints.denoiser import DenoiserConfig
from model.conditions import Conditioning
from model.denoiser import Gradient
from model.networks import AnyEncoderConfig
from model.noise_schedule import NoiseSchedule
from model.prediction import per_row


class NoiseConditionedEncoder:
    """A network that takes x_t at every level of noise.

    Its input is √ᾱ_t·x_t: by Bayes' rule p(y|x_t) depends on nothing else of x_t,

        log q(x_t|x_0) = √ᾱ_t x_t·x_0/(1−ᾱ_t) − ᾱ_t|x_0|²/2(1−ᾱ_t) + …,

    where the rest does not depend on x_0. So a gradient vanishes with √ᾱ_t by construction, and what it does to x̂0,
    (1−ᾱ_t)/√ᾱ_t times as much, stays bounded at the noisy end.

    network   (√ᾱ_t·x_t [rows, …], t [rows] int64) → [rows, outputs]
    schedule  the one it was trained with
    """

    def __init__(
        self, network: Callable[[Tensor, Tensor], Tensor], schedule: NoiseSchedule, device: torch.device | str = "cpu"
    ):
        self.network = network
        self.device = torch.device(device)
        self._root_alpha_bar = torch.from_numpy(schedule.alpha_bar).sqrt().float().to(device)

    def scaled_input(self, x_t: Tensor, t: Tensor) -> Tensor:
        """The network's input for x_t [rows, …]."""
        return per_row(self._root_alpha_bar[t], x_t) * x_t

    def encode(self, x_t: Tensor, t: Tensor) -> Tensor:
        """x_t [rows, …] in the network's range, t [rows] int64 (0 … T) → [rows, outputs] float32."""
        return self.network(self.scaled_input(x_t, t), t).float()


def gradient_of_sum(score: Callable[..., Tensor], x_t: Tensor, *others: Tensor) -> Tensor:
    """∇ Σ score(x_t, *others) with respect to x_t, where `score` gives one number a row.

    The sum keeps each row's gradient its own, whatever else is in the batch. Works inside `torch.inference_mode`.
    """
    with torch.inference_mode(False), torch.enable_grad():
        x, *copies = (tensor.clone() for tensor in (x_t, *others))  # what is made in inference mode has no gradients
        (gradient,) = torch.autograd.grad(score(x.requires_grad_(), *copies).sum(), x)
    return gradient


class GuidanceConfig(DiffusionConfig[NetworkT]):
    """The config.json of a guidance model. `schedule` must be that of the denoiser that it guides."""

    network: AnyEncoderConfig
    sampling: SamplingOverrides = SamplingOverrides()


@dataclass(frozen=True, eq=False)
class GuidanceCheckpoint(Checkpoint[NetworkT]):
    """A loaded checkpoint whose gradient guides denoisers."""

    config: GuidanceConfig[NetworkT]

    @property
    def conditioning(self) -> Conditioning:
        """What a row is guided towards: its label, or its prompt."""
        raise NotImplementedError

    @property
    def overrides(self) -> SamplingOverrides:
        """What its card changes in the denoiser's sampling."""
        return self.config.sampling

    @property
    def default_for_prompts(self) -> bool:
        """Does it guide prompts whose request names no guidance, although a denoiser is conditioned on text?"""
        return False

    def gradient_of(self, network: Any, device: torch.device | str = "cpu") -> Gradient:
        """The gradient, by a network of this one's kind."""
        raise NotImplementedError

    def gradient(self, device: torch.device | str = "cpu") -> Gradient:
        """The same, by a copy of the network."""
        return self.gradient_of(self.network_on(device), device)

    def example(self) -> Tensor:
        """A condition of one row, on the CPU: a label [] int64, or a text vector [d]."""
        raise NotImplementedError

    def fits(self, denoiser: DenoiserConfig) -> bool:
        """Can it guide that denoiser: the same rows in the same range, the same noise at every t? A gradient moves a
        posterior mean, and a student predicts none. A network that reads clusters would take a label for a cluster."""
        ours, theirs = self.data, denoiser.data
        same_rows = all(
            getattr(ours, field) == getattr(theirs, field) for field in ("dataset", "kind", "shape", "mean", "std")
        )
        takes_gradients = denoiser.predicts_posterior_mean and not denoiser.cluster_shares
        return same_rows and self.config.schedule == denoiser.schedule and takes_gradients


GuidanceModel = GuidanceCheckpoint[Any]
"""A classifier, or a CLIP."""
