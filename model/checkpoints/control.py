"""A ControlNet's checkpoint: hints of one kind, for one denoiser whose weights it was trained beside."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from model.checkpoints.denoiser import (
    FORMAT,
    NAME_PATTERN,
    WEIGHTS,
    DenoiserCheckpoint,
    Precision,
    SamplingOverrides,
    ScheduleConfig,
    check_steps,
    load_config,
)
from model.checkpoints.weights import CheckpointError, fingerprint, load_weights
from model.conditions import HintKind
from model.data import DataConfig
from model.denoiser import Control
from model.hints import FRAME, Framing
from model.networks import UNetConfig
from model.networks.controlnet import ControlNet


class BaseConfig(BaseModel):
    """The denoiser that it steers: by name, and by its weights, because it knows what those make of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=NAME_PATTERN)
    weights: str  # see `model.checkpoints.weights.fingerprint`


class ControlConfig(BaseModel):
    """Its config.json. data, network, text (the length of the vectors it reads) and schedule are the base's.

    framing, frame  how a request's picture becomes one like those that it was trained on: see `given_hint`
    control_scale   advice
    sampling        advice for hints that are given with neither label nor prompt; the guidance is theirs, then
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = FORMAT
    role: Literal["control"] = "control"
    name: str = Field(pattern=NAME_PATTERN)
    hint: HintKind
    framing: Framing = "ink"
    frame: float = Field(FRAME, gt=0, le=1)
    base: BaseConfig
    data: DataConfig
    network: UNetConfig
    text: int = Field(0, ge=0)
    schedule: ScheduleConfig
    control_scale: float = Field(1.0, ge=0, le=2)
    sampling: SamplingOverrides = SamplingOverrides()
    recipe: dict[str, Any] = {}
    metrics: dict[str, Any] = {}

    _steps_are_possible = model_validator(mode="after")(check_steps)

    @staticmethod
    def beside(base: DenoiserCheckpoint, **fields: Any) -> "ControlConfig":
        """Of a ControlNet for that denoiser. Raises ValueError where it is none of images by a UNet."""
        config = base.config
        if not isinstance(config.network, UNetConfig):
            raise ValueError(f"{config.name} is no UNet: a hint needs an image to follow it")
        return ControlConfig(
            base=BaseConfig(name=config.name, weights=fingerprint(base.network)),
            data=config.data,
            network=config.network,
            text=0 if config.text is None else config.text.outputs,
            schedule=config.schedule,
            **fields,
        )

    def build_network(self) -> ControlNet:
        return ControlNet(
            shape=self.data.shape,
            labels=len(self.data.labels),
            text=self.text,
            T=self.schedule.T,
            learned_variance=False,  # of the half that it does not have
            **self.network.model_dump(exclude={"kind"}),
        )


@dataclass(frozen=True, eq=False)
class ControlCheckpoint:
    """A loaded ControlNet: its config, and its network in float32 on the CPU."""

    config: ControlConfig
    network: ControlNet

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def hint(self) -> HintKind:
        return self.config.hint

    def fits(self, base: DenoiserCheckpoint) -> bool:
        """Was it trained beside that denoiser, with the weights that it has?"""
        return base.config.name == self.config.base.name and fingerprint(base.network) == self.config.base.weights

    def control(self, device: torch.device | str = "cpu", precision: Precision = "float32") -> Control:
        """On a copy of the network in that precision."""
        network = self.config.build_network()
        network.load_state_dict(self.network.state_dict())
        network.to(device, dtype=getattr(torch, precision), memory_format=torch.channels_last)
        return network.eval().requires_grad_(False)

    def example(self) -> Tensor:
        """A hint that says nothing [1, H, W], on the CPU."""
        return torch.zeros(1, *self.config.data.shape[1:])


def load_control(folder: Path) -> ControlCheckpoint:
    """Raises CheckpointError where the folder does not hold a usable ControlNet."""
    config = load_config(folder, ControlConfig)
    try:
        network: nn.Module = config.build_network()
    except ValueError as error:
        raise CheckpointError(f"{folder.name}: config.json: {error}") from error
    load_weights(folder / WEIGHTS, network)
    return ControlCheckpoint(config, network.eval())
