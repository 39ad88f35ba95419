"""The weak network of autoguidance (Karras 2024): a denoiser's samples are led away from what it predicts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import model_validator
from torch import Tensor, nn

from model.checkpoints.base import Checkpoint, TorchPrecision, load_network, read_graph
from model.checkpoints.bound import BaseConfig
from model.checkpoints.config import DiffusionConfig, SamplingOverrides, load_config
from model.checkpoints.denoiser import DenoiserCheckpoint, InFloat32, PredictionConfig
from model.conditions import NO_LABEL, Conditioning
from model.denoiser import Network
from model.networks import AnyNetworkConfig, build_network


class AutoguidanceConfig(DiffusionConfig[nn.Module]):
    """Its config.json. data, schedule and prediction are the base's.

    sampling  overrides for samples that it guides; a `guidance_scale` of 1 is the base alone
    """

    role: Literal["autoguidance"] = "autoguidance"
    base: BaseConfig
    network: AnyNetworkConfig
    prediction: PredictionConfig
    sampling: SamplingOverrides = SamplingOverrides()

    @model_validator(mode="after")
    def _guides_everywhere(self) -> "AutoguidanceConfig":
        if self.sampling.guidance_interval is not None:
            raise ValueError("sampling.guidance_interval is for classifier-free guidance: leave it away")
        return self

    @staticmethod
    def beside(base: DenoiserCheckpoint, **fields: Any) -> "AutoguidanceConfig":
        """The config of a weak network for that denoiser. Raises ValueError where the denoiser cannot have one."""
        config = base.config
        if not config.predicts_posterior_mean:
            raise ValueError(f"{config.name} is a student: it predicts no posterior mean, and cannot be autoguided")
        if config.text is not None:
            raise ValueError(f"{config.name} reads prompts; autoguidance is for denoisers that read labels, or nothing")
        if config.cluster_shares:
            raise ValueError(f"{config.name} reads clusters: autoguidance is for one that reads labels, or nothing")
        return AutoguidanceConfig(
            base=BaseConfig.of(base),
            data=config.data,
            schedule=config.schedule,
            prediction=config.prediction,
            **fields,
        )

    def build_network(self) -> nn.Module:
        return build_network(
            self.network,
            shape=self.data.shape,
            labels=len(self.data.labels),
            T=self.schedule.T,
            learned_variance=self.prediction.learned_variance,
        )


@dataclass(frozen=True, eq=False)
class AutoguidanceCheckpoint(Checkpoint[nn.Module]):
    """A loaded weak network."""

    config: AutoguidanceConfig

    @property
    def overrides(self) -> SamplingOverrides:
        """What its card changes in the base's sampling."""
        return self.config.sampling

    @property
    def conditioning(self) -> Conditioning | None:
        """What it is conditioned on: the same as its base."""
        return "label" if self.config.data.labels else None

    def fits(self, base: DenoiserCheckpoint) -> bool:
        """Was it trained for that denoiser, with the weights that it has?"""
        return self.config.base.is_of(base)

    def torch_network(self, device: torch.device | str = "cpu", precision: TorchPrecision = "float32") -> Network:
        """A copy of the network, in that precision; what it returns is in float32."""
        return InFloat32(self.network_on(device, precision))

    def example(self) -> Tensor:
        """The condition of a row without one, on the CPU: NO_LABEL [] int64."""
        return torch.tensor(NO_LABEL)


def load_autoguidance(folder: Path) -> AutoguidanceCheckpoint:
    """Raises CheckpointError where the folder does not hold a usable weak network."""
    config = load_config(folder, AutoguidanceConfig)
    network = load_network(folder, config)
    return AutoguidanceCheckpoint(config, config.schedule.build(), network, graph=read_graph(folder))
