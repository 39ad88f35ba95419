"""What classifiers and CLIP share: networks that read noisy rows, and gradients of what they say."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from model.checkpoints.denoiser import DenoiserConfig, SamplingOverrides
from model.conditions import Conditioning
from model.data import DataConfig
from model.denoiser import Gradient
from model.noise_schedule import NoiseSchedule
from model.prediction import per_row


class NoiseConditionedEncoder:
    """A network that reads x_t at every level of noise.

    It is shown √ᾱ_t·x_t: by Bayes' rule that is all of x_t that p(y|x_t) depends on,

        log q(x_t|x_0) = √ᾱ_t x_t·x_0/(1−ᾱ_t) − ᾱ_t|x_0|²/2(1−ᾱ_t) + …,

    where the rest knows nothing of x_0. So a gradient vanishes with √ᾱ_t by construction, and what it does to x̂0,
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
        """What the network sees of x_t [rows, …]."""
        return per_row(self._root_alpha_bar[t], x_t) * x_t

    def encode(self, x_t: Tensor, t: Tensor) -> Tensor:
        """x_t [rows, …] in the network's range, t [rows] int64 (0 … T) → [rows, outputs] float32."""
        return self.network(self.scaled_input(x_t, t), t).float()


def gradient_of_sum(score: Callable[..., Tensor], x_t: Tensor, *others: Tensor) -> Tensor:
    """∇ Σ score(x_t, *others) with respect to x_t, `score` giving a number a row: of the *sum*, so that each row's is
    its own whoever else is in the batch. Works inside `torch.inference_mode`.
    """
    with torch.inference_mode(False), torch.enable_grad():
        x, *others = (tensor.clone() for tensor in (x_t, *others))  # what is made in inference mode has no gradients
        (gradient,) = torch.autograd.grad(score(x.requires_grad_(), *others).sum(), x)
    return gradient


class GuidanceModel(Protocol):
    """A loaded checkpoint whose gradient steers denoisers.

    steers  by what is asked of a row
    """

    conditioning: Conditioning
    schedule: NoiseSchedule

    @property
    def name(self) -> str: ...

    @property
    def data(self) -> DataConfig: ...

    @property
    def overrides(self) -> SamplingOverrides:
        """What its card advises where it steers."""
        ...

    @property
    def default_for_prompts(self) -> bool:
        """Is it used for prompts that name no guidance, although a denoiser is conditioned on text?"""
        ...

    @property
    def metrics(self) -> Mapping[str, Any]: ...

    def fits(self, denoiser: DenoiserConfig) -> bool:
        """Can it steer that denoiser: the same rows in the same range, the same noise at every t?"""
        ...

    def gradient(self, device: torch.device | str = "cpu") -> Gradient: ...

    def example(self) -> Tensor:
        """Something that may be asked of a row, on the CPU: a label [] int64, or a text vector [d]."""
        ...


class ConfigBacked:
    """What a `GuidanceModel` tells of itself: all of it stands in its config."""

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def data(self) -> DataConfig:
        return self.config.data

    @property
    def overrides(self) -> SamplingOverrides:
        return self.config.sampling

    @property
    def default_for_prompts(self) -> bool:
        return False

    @property
    def metrics(self) -> Mapping[str, Any]:
        return self.config.metrics


def same_rows(ours: DataConfig, theirs: DataConfig) -> bool:
    """Are rows of the one rows of the other, in the same range?"""
    return all(getattr(ours, field) == getattr(theirs, field) for field in ("dataset", "kind", "shape", "mean", "std"))
