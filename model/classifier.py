"""A classifier of noisy rows, and the gradient by which it steers a denoiser (DN21 section 4)."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from model.checkpoint import FORMAT, NAME_PATTERN, CheckpointError, Config, ScheduleConfig, load_config, load_weights
from model.data import DataConfig
from model.networks import AnyEncoderConfig, build_encoder
from model.prediction import per_row
from model.schedule import NoiseSchedule, make_schedule


class ClassifierConfig(BaseModel):
    """Its config.json. `schedule` must be that of the denoiser it steers; `guidance_scale` is what its card advises."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = FORMAT
    role: Literal["classifier"] = "classifier"
    name: str = Field(pattern=NAME_PATTERN)
    data: DataConfig
    network: AnyEncoderConfig
    schedule: ScheduleConfig
    guidance_scale: float = Field(1.0, ge=0, le=20)
    recipe: dict[str, Any] = {}
    metrics: dict[str, Any] = {}

    def build_network(self) -> nn.Module:
        return build_encoder(self.network, shape=self.data.shape, outputs=len(self.data.labels), T=self.schedule.T)


class Classifier:
    """log p(y|x_t), and its gradient with respect to x_t.

    The network is shown √ᾱ_t·x_t: by Bayes' rule that is all of x_t that p(y|x_t) depends on,

        log q(x_t|x_0) = √ᾱ_t x_t·x_0/(1−ᾱ_t) − ᾱ_t|x_0|²/2(1−ᾱ_t) + …,

    where the rest knows nothing of x_0. So the gradient vanishes with √ᾱ_t by construction, and what it does to x̂0,
    (1−ᾱ_t)/√ᾱ_t times as much, stays bounded at the noisy end.

    network   (√ᾱ_t·x_t [rows, …], t [rows] int64) → logits [rows, classes]
    schedule  the one it was trained with
    """

    def __init__(
        self, network: Callable[[Tensor, Tensor], Tensor], schedule: NoiseSchedule, device: torch.device | str = "cpu"
    ):
        self.network = network
        self._root_alpha_bar = torch.from_numpy(schedule.alpha_bar).sqrt().float().to(device)

    def log_probabilities(self, x_t: Tensor, t: Tensor) -> Tensor:
        """x_t [rows, …] in the network's range, t [rows] int64 (0 … T) → [rows, classes] float32."""
        logits = self.network(per_row(self._root_alpha_bar[t], x_t) * x_t, t)
        return F.log_softmax(logits.float(), dim=1)

    def gradient(self, x_t: Tensor, t: Tensor, label: Tensor) -> Tensor:
        """∇ log p(label|x_t) [rows, …], of any rows [rows] of labels 0 … classes − 1.

        It is taken of the *sum* over rows, so that each row's is its own whoever else is in the batch. Works inside
        `torch.inference_mode`.
        """
        with torch.inference_mode(False), torch.enable_grad():
            x = x_t.clone().requires_grad_()  # copies: tensors made in inference mode cannot be differentiated
            log_p = self.log_probabilities(x, t.clone())
            selected = log_p.gather(1, label.clone().unsqueeze(1))
            (gradient,) = torch.autograd.grad(selected.sum(), x)
        return gradient


@dataclass(frozen=True, eq=False)
class ClassifierCheckpoint:
    """A loaded classifier: its config, its schedule and its network in float32 on the CPU."""

    config: ClassifierConfig
    schedule: NoiseSchedule
    network: nn.Module

    def fits(self, denoiser: Config) -> bool:
        """Can it steer that denoiser: the same rows in the same range, the same noise at every t, the same labels?"""
        ours, theirs = self.config.data, denoiser.data
        same_labels = not theirs.labels or ours.labels == theirs.labels
        return (
            same_labels
            and self.config.schedule == denoiser.schedule
            and all(
                getattr(ours, field) == getattr(theirs, field) for field in ("dataset", "kind", "shape", "mean", "std")
            )
        )

    def classifier(self, device: torch.device | str = "cpu") -> Classifier:
        """A classifier on a copy of the network."""
        network = self.config.build_network()
        network.load_state_dict(self.network.state_dict())
        network.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)
        return Classifier(network, self.schedule, device)


def load_classifier(folder: Path) -> ClassifierCheckpoint:
    """Raises CheckpointError where the folder does not hold a usable classifier."""
    config = load_config(folder, ClassifierConfig)
    try:
        schedule = make_schedule(config.schedule.name, config.schedule.T)
        network = config.build_network()
    except ValueError as error:
        raise CheckpointError(f"{folder.name}: config.json: {error}") from error
    load_weights(folder, network)
    return ClassifierCheckpoint(config, schedule, network.eval())
