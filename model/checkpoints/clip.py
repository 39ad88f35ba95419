"""Words and noisy images in one space (Rad21), and the gradient by which words steer a denoiser (Nichol 2022)."""

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
from model.text_encoder import TextConfig, TextEncoder, load_text

FIRST_LOGIT_SCALE = 1 / 0.07  # Rad21 section 2.5 …
LARGEST_LOGIT_SCALE = 100.0  # … where it is also held below this


class ClipConfig(BaseModel):
    """Its config.json. `network` is the image tower's; `schedule` must be that of the denoiser it steers.
    `sampling` and `default_for_prompts` are advice."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = FORMAT
    role: Literal["clip"] = "clip"
    name: str = Field(pattern=NAME_PATTERN)
    data: DataConfig
    network: AnyEncoderConfig
    text: TextConfig
    schedule: ScheduleConfig
    sampling: SamplingOverrides = SamplingOverrides()
    default_for_prompts: bool = False
    recipe: dict[str, Any] = {}
    metrics: dict[str, Any] = {}

    _steps_are_possible = model_validator(mode="after")(check_steps)

    def build_network(self) -> "ImageTower":
        encoder = build_encoder(self.network, shape=self.data.shape, outputs=self.text.outputs, T=self.schedule.T)
        return ImageTower(encoder)


class ImageTower(nn.Module):
    """Images → unit vectors [rows, d]; beside them the one number that makes logits of products."""

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder
        self.log_scale = nn.Parameter(torch.tensor(FIRST_LOGIT_SCALE).log())

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return F.normalize(self.encoder(x, t).float(), dim=1)

    @property
    def logit_scale(self) -> Tensor:
        return self.log_scale.exp().clamp(max=LARGEST_LOGIT_SCALE)


class Clip(NoiseConditionedEncoder):
    """How well images and words go together, and how to make them go better."""

    network: ImageTower

    def logits(self, x_t: Tensor, t: Tensor, text: Tensor) -> Tensor:
        """exp(log_scale)·f(x_t, t)·c, [rows, texts]; x_t [rows, …], t [rows] int64 (0 … T), text [texts, d]."""
        return self.network.logit_scale * (self.encode(x_t, t) @ text.T)

    def gradient(self, x_t: Tensor, t: Tensor, text: Tensor) -> Tensor:
        """∇ exp(log_scale)·f(x_t, t)·c [rows, …], each row with its own text [rows, d] (Nichol 2022, section 2.4)."""
        return gradient_of_sum(lambda x, t, c: self.network.logit_scale * (self.encode(x, t) * c).sum(1), x_t, t, text)


@dataclass(frozen=True, eq=False)
class ClipCheckpoint(ConfigBacked):
    """A loaded CLIP, a `GuidanceModel`: its config, its schedule and both towers in float32 on the CPU."""

    config: ClipConfig
    schedule: NoiseSchedule
    network: ImageTower
    text: TextEncoder
    conditioning: Conditioning = "text"

    @property
    def default_for_prompts(self) -> bool:
        return self.config.default_for_prompts

    def fits(self, denoiser: DenoiserConfig) -> bool:
        """As `GuidanceModel` has it; the denoiser is not conditioned on anything itself."""
        return (
            same_rows(self.data, denoiser.data)
            and self.config.schedule == denoiser.schedule
            and denoiser.conditioning is None
        )

    def clip(self, device: torch.device | str = "cpu") -> Clip:
        """On a copy of the image tower."""
        network = self.config.build_network()
        network.load_state_dict(self.network.state_dict())
        network.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)
        return Clip(network, self.schedule, device)

    def gradient(self, device: torch.device | str = "cpu") -> Gradient:
        return self.clip(device).gradient

    def example(self) -> Tensor:
        return F.normalize(torch.ones(self.config.text.outputs), dim=0)


def load_clip(folder: Path) -> ClipCheckpoint:
    """Raises CheckpointError where the folder does not hold a usable CLIP."""
    config = load_config(folder, ClipConfig)
    try:
        schedule = make_schedule(config.schedule.name, config.schedule.T)
        network = config.build_network()
    except ValueError as error:
        raise CheckpointError(f"{folder.name}: config.json: {error}") from error
    load_weights(folder / WEIGHTS, network)
    return ClipCheckpoint(config, schedule, network.eval(), load_text(folder, config.text))
