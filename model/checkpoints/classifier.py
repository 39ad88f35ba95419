"""A classifier of noisy rows, and the gradient by which it steers a denoiser (DN21 section 4)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from model.checkpoints.denoiser import (
    FORMAT,
    NAME_PATTERN,
    WEIGHTS,
    DenoiserConfig,
    SamplingOverrides,
    ScheduleConfig,
    check_steps,
    load_config,
)
from model.checkpoints.guidance_model import ConfigBacked, NoiseConditionedEncoder, gradient_of_sum, same_rows
from model.checkpoints.weights import CheckpointError, load_weights
from model.conditions import Conditioning
from model.data import DataConfig
from model.denoiser import Gradient
from model.networks import AnyEncoderConfig, build_encoder
from model.noise_schedule import NoiseSchedule, make_schedule


class ClassifierConfig(BaseModel):
    """Its config.json. `schedule` must be that of the denoiser that it guides; `sampling` is advice."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = FORMAT
    role: Literal["classifier"] = "classifier"
    name: str = Field(pattern=NAME_PATTERN)
    data: DataConfig
    network: AnyEncoderConfig
    schedule: ScheduleConfig
    sampling: SamplingOverrides = SamplingOverrides()
    recipe: dict[str, Any] = {}
    metrics: dict[str, Any] = {}

    _steps_are_possible = model_validator(mode="after")(check_steps)

    def build_network(self) -> nn.Module:
        return build_encoder(self.network, shape=self.data.shape, outputs=len(self.data.labels), T=self.schedule.T)


class Classifier(NoiseConditionedEncoder):
    """log p(y|x_t), and its gradient with respect to x_t. The network puts out logits."""

    def log_probabilities(self, x_t: Tensor, t: Tensor) -> Tensor:
        """x_t [rows, …] in the network's range, t [rows] int64 (0 … T) → [rows, classes] float32."""
        return F.log_softmax(self.encode(x_t, t), dim=1)

    def gradient(self, x_t: Tensor, t: Tensor, label: Tensor) -> Tensor:
        """∇ log p(label|x_t) [rows, …], of any rows [rows] of labels 0 … classes − 1."""
        return gradient_of_sum(lambda x, t, y: self.log_probabilities(x, t).gather(1, y.unsqueeze(1)), x_t, t, label)


@dataclass(frozen=True, eq=False)
class ClassifierCheckpoint(ConfigBacked):
    """A loaded classifier, a `GuidanceModel`: its config, its schedule and its network in float32 on the CPU."""

    config: ClassifierConfig
    schedule: NoiseSchedule
    network: nn.Module
    conditioning: Conditioning = "label"

    def fits(self, denoiser: DenoiserConfig) -> bool:
        """As `GuidanceModel` has it; and the same labels, where the denoiser reads some."""
        same_labels = denoiser.conditioning is None or denoiser.data.labels == self.data.labels
        return same_labels and same_rows(self.data, denoiser.data) and self.config.schedule == denoiser.schedule

    def classifier(self, device: torch.device | str = "cpu") -> Classifier:
        """A classifier on a copy of the network."""
        network = self.config.build_network()
        network.load_state_dict(self.network.state_dict())
        network.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)
        return Classifier(network, self.schedule, device)

    def gradient(self, device: torch.device | str = "cpu") -> Gradient:
        return self.classifier(device).gradient

    def example(self) -> Tensor:
        return torch.tensor(0)


def load_classifier(folder: Path) -> ClassifierCheckpoint:
    """Raises CheckpointError where the folder does not hold a usable classifier."""
    config = load_config(folder, ClassifierConfig)
    try:
        schedule = make_schedule(config.schedule.name, config.schedule.T)
        network = config.build_network()
    except ValueError as error:
        raise CheckpointError(f"{folder.name}: config.json: {error}") from error
    load_weights(folder / WEIGHTS, network)
    return ClassifierCheckpoint(config, schedule, network.eval())
