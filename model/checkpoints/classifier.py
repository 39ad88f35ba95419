"""A classifier of noisy rows, and the gradient by which it guides a denoiser (DN21 section 4)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.checkpoints.base import load_network, read_graph
from model.checkpoints.config import load_config
from model.checkpoints.denoiser import DenoiserConfig
from model.checkpoints.guidance_model import (
    GuidanceCheckpoint,
    GuidanceConfig,
    NoiseConditionedEncoder,
    gradient_of_sum,
)
from model.conditions import Conditioning
from model.denoiser import Gradient
from model.networks import build_encoder


class ClassifierConfig(GuidanceConfig[nn.Module]):
    """Its config.json."""

    role: Literal["classifier"] = "classifier"

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
class ClassifierCheckpoint(GuidanceCheckpoint[nn.Module]):
    """A loaded classifier."""

    config: ClassifierConfig

    @property
    def conditioning(self) -> Conditioning:
        return "label"

    def fits(self, denoiser: DenoiserConfig) -> bool:
        """As every guidance model; a denoiser that is conditioned on labels has the same ones."""
        same_labels = denoiser.conditioning is None or denoiser.data.labels == self.data.labels
        return same_labels and super().fits(denoiser)

    def classifier(self, device: torch.device | str = "cpu") -> Classifier:
        """A classifier on a copy of the network."""
        return Classifier(self.network_on(device), self.schedule, device)

    def gradient_of(self, network: nn.Module, device: torch.device | str = "cpu") -> Gradient:
        return Classifier(network, self.schedule, device).gradient

    def example(self) -> Tensor:
        return torch.tensor(0)


def load_classifier(folder: Path) -> ClassifierCheckpoint:
    """Raises CheckpointError where the folder does not hold a usable classifier."""
    config = load_config(folder, ClassifierConfig)
    return ClassifierCheckpoint(config, config.schedule.build(), load_network(folder, config), graph=read_graph(folder))
