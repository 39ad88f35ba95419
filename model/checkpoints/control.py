"""A ControlNet's checkpoint: hints of one kind, for one denoiser whose weights it was trained beside."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from model.checkpoints.base import Checkpoint, TorchPrecision, load_network, read_graph
from model.checkpoints.bound import BaseConfig
from model.checkpoints.config import DiffusionConfig, SamplingOverrides, load_config
from model.checkpoints.denoiser import DenoiserCheckpoint
from model.conditions import HintKind
from model.denoiser import Control
from model.hints import FRAME, Framing
from model.networks import MAX_WIDTH, UNetConfig
from model.networks.controlnet import ControlNet


class ControlConfig(DiffusionConfig[ControlNet]):
    """Its config.json. data, network, text (the length of the text vectors) and schedule are the base's.

    jumps           the base is a few-step student, so this network too reads the guidance scale and s
    framing, frame  how a request's picture becomes one like those that it was trained on: see `given_hint`
    control_scale   how strongly its hint counts by default
    sampling        overrides for a hint with neither label nor prompt; `guidance_scale` then applies to the hint
    """

    role: Literal["control"] = "control"
    hint: HintKind
    framing: Framing = "ink"
    frame: float = Field(FRAME, gt=0, le=1)
    base: BaseConfig
    network: UNetConfig
    text: int = Field(0, ge=0, le=MAX_WIDTH)
    jumps: bool = False
    control_scale: float = Field(1.0, ge=0, le=2)
    sampling: SamplingOverrides = SamplingOverrides()

    @staticmethod
    def beside(base: DenoiserCheckpoint, **fields: Any) -> "ControlConfig":
        """The config of a ControlNet for that denoiser. Raises ValueError where the denoiser cannot have one."""
        config = base.config
        if not isinstance(config.network, UNetConfig):
            raise ValueError(f"{config.name} is no UNet: a hint needs an image to follow it")
        if config.cluster_shares:
            raise ValueError(f"{config.name} reads clusters: a ControlNet is for one that reads labels, or nothing")
        return ControlConfig(
            base=BaseConfig.of(base),
            data=config.data,
            network=config.network,
            text=0 if config.text is None else config.text.outputs,
            jumps=config.distilled is not None,
            schedule=config.schedule,
            **fields,
        )

    def build_network(self) -> ControlNet:
        return ControlNet(
            shape=self.data.shape,
            labels=len(self.data.labels),
            text=self.text,
            jumps=self.jumps,
            T=self.schedule.T,
            **self.network.model_dump(exclude={"kind"}),
        )


@dataclass(frozen=True, eq=False)
class ControlCheckpoint(Checkpoint[ControlNet]):
    """A loaded ControlNet."""

    config: ControlConfig

    @property
    def hint(self) -> HintKind:
        return self.config.hint

    def fits(self, base: DenoiserCheckpoint) -> bool:
        """Was it trained beside that denoiser, with the weights that it has?"""
        return self.config.base.is_of(base)

    def control(self, device: torch.device | str = "cpu", precision: TorchPrecision = "float32") -> Control:
        """On a copy of the network in that precision."""
        return self.network_on(device, precision)

    def example(self) -> Tensor:
        """An empty hint [1, H, W], on the CPU."""
        return torch.zeros(1, *self.config.data.shape[1:])


def load_control(folder: Path) -> ControlCheckpoint:
    """Raises CheckpointError where the folder does not hold a usable ControlNet."""
    config = load_config(folder, ControlConfig)
    return ControlCheckpoint(config, config.schedule.build(), load_network(folder, config), graph=read_graph(folder))
