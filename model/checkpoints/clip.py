"""Words and noisy images in one space (Rad21), and the gradient that guides a denoiser by words (Nichol 2022)."""

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
from model.checkpoints.weights import fingerprint
from model.conditions import Conditioning
from model.denoiser import Gradient
from model.networks import build_encoder
from model.text_encoder import TextConfig, TextEncoder, load_text

FIRST_LOGIT_SCALE = 1 / 0.07  # Rad21 section 2.5 …
LARGEST_LOGIT_SCALE = 100.0  # … where it is also held below this


class ImageTower(nn.Module):
    """Images → unit vectors [rows, d]; beside them the one number that turns products into logits."""

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder
        self.log_scale = nn.Parameter(torch.tensor(FIRST_LOGIT_SCALE).log())

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return F.normalize(self.encoder(x, t).float(), dim=1)

    @property
    def logit_scale(self) -> Tensor:
        return self.log_scale.exp().clamp(max=LARGEST_LOGIT_SCALE)


class ClipConfig(GuidanceConfig[ImageTower]):
    """Its config.json. `network` is the image tower's, `text` the text tower's."""

    role: Literal["clip"] = "clip"
    text: TextConfig
    default_for_prompts: bool = False

    def build_network(self) -> ImageTower:
        encoder = build_encoder(self.network, shape=self.data.shape, outputs=self.text.outputs, T=self.schedule.T)
        return ImageTower(encoder)


class Clip(NoiseConditionedEncoder):
    """How well images and words go together, and the gradient that makes them go better."""

    network: ImageTower

    def logits(self, x_t: Tensor, t: Tensor, text: Tensor) -> Tensor:
        """exp(log_scale)·f(x_t, t)·c, [rows, texts]; x_t [rows, …], t [rows] int64 (0 … T), text [texts, d]."""
        return self.network.logit_scale * (self.encode(x_t, t) @ text.T)

    def gradient(self, x_t: Tensor, t: Tensor, text: Tensor) -> Tensor:
        """∇ exp(log_scale)·f(x_t, t)·c [rows, …], each row with its own text [rows, d] (Nichol 2022, section 2.4)."""
        return gradient_of_sum(lambda x, t, c: self.network.logit_scale * (self.encode(x, t) * c).sum(1), x_t, t, text)


@dataclass(frozen=True, eq=False)
class ClipCheckpoint(GuidanceCheckpoint[ImageTower]):
    """A loaded CLIP: `network` is its image tower, `text` the other."""

    config: ClipConfig
    text: TextEncoder

    @property
    def conditioning(self) -> Conditioning:
        return "text"

    @property
    def default_for_prompts(self) -> bool:
        return self.config.default_for_prompts

    def fits(self, denoiser: DenoiserConfig) -> bool:
        """As every guidance model; the denoiser is not conditioned on anything itself."""
        return denoiser.conditioning is None and super().fits(denoiser)

    def _what_computes(self) -> list[bytes]:
        return [*super()._what_computes(), fingerprint(self.text.network).encode()]

    def clip(self, device: torch.device | str = "cpu") -> Clip:
        """On a copy of the image tower."""
        return Clip(self.network_on(device), self.schedule, device)

    def gradient_of(self, network: ImageTower, device: torch.device | str = "cpu") -> Gradient:
        return Clip(network, self.schedule, device).gradient

    def example(self) -> Tensor:
        return F.normalize(torch.ones(self.config.text.outputs), dim=0)


def load_clip(folder: Path) -> ClipCheckpoint:
    """Raises CheckpointError where the folder does not hold a usable CLIP."""
    config = load_config(folder, ClipConfig)
    network = load_network(folder, config)
    return ClipCheckpoint(
        config, config.schedule.build(), network, load_text(folder, config.text), graph=read_graph(folder)
    )
