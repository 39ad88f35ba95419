"""The judge: a classifier of clean images that measures samples and is never used to make them.

Its label says whether a sample is what was asked for; its feature layer is the space in which sets of images are
compared.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn
from torch.nn import functional as F

from model.checkpoint import FORMAT, NAME_PATTERN, CheckpointError, load_weights
from model.data import DataConfig

GROUPS = 8


class JudgeConfig(BaseModel):
    """config.json of a judge: everything that its weights do not say."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = FORMAT
    role: Literal["judge"] = "judge"
    name: str = Field(pattern=NAME_PATTERN)
    data: DataConfig
    width: int = Field(ge=GROUPS, multiple_of=GROUPS)
    features: int = Field(ge=8)
    recipe: dict[str, Any] = {}
    metrics: dict[str, Any] = {}

    def build_network(self) -> "JudgeNetwork":
        return JudgeNetwork(self.data.shape[0], len(self.data.labels), self.width, self.features)


class _Block(nn.Module):
    """Two 3×3 convolutions with a skip, normed by groups: no statistics of a batch, so weights average plainly."""

    def __init__(self, channels_in: int, channels: int):
        super().__init__()
        self.norm1 = nn.GroupNorm(GROUPS, channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(GROUPS, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.skip = nn.Conv2d(channels_in, channels, 1) if channels_in != channels else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        return self.skip(x) + self.conv2(F.silu(self.norm2(h)))


class JudgeNetwork(nn.Module):
    """Standardised images [rows, C, H, W] → (features [rows, F], logits [rows, labels]).

    width     channels at half of the images' resolution; twice as many at a quarter of it
    features  F, of the layer before the logits
    """

    def __init__(self, channels: int, labels: int, width: int, features: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 5, stride=2, padding=2),
            _Block(width, width),
            nn.AvgPool2d(2),
            _Block(width, 2 * width),
            _Block(2 * width, 2 * width),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.features = nn.Linear(2 * width, features)
        self.logits = nn.Linear(features, labels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = F.silu(self.features(self.body(x)))
        return features, self.logits(features)


@dataclass(frozen=True, eq=False)
class Judgement:
    """features [n, F] float64 and label probabilities [n, labels] float64, on the CPU."""

    features: Tensor
    probabilities: Tensor

    @property
    def labels(self) -> Tensor:
        """What each image is read as, [n] int64."""
        return self.probabilities.argmax(1)

    def accuracy(self, asked: Tensor) -> float:
        """The share of images that are read as what was asked for, 0 … 1."""
        return (self.labels == asked).double().mean().item()


@dataclass(frozen=True, eq=False)
class Judge:
    """A loaded judge."""

    config: JudgeConfig
    network: JudgeNetwork

    @torch.inference_mode()
    def __call__(self, images: Tensor, batch: int = 500) -> Judgement:
        """Judge images [n, C, H, W] in 0 … 255, as 8-bit pixels: what a person would be given is what is judged."""
        device = next(self.network.parameters()).device
        features, probabilities = [], []
        for rows in images.split(batch):
            pixels = rows.to(device).float().round().clamp(0, 255)
            seen, logits = self.network(self.config.data.standardise(pixels))
            features.append(seen.double().cpu())
            probabilities.append(logits.double().softmax(1).cpu())
        return Judgement(torch.cat(features), torch.cat(probabilities))


def load_judge(folder: Path, device: torch.device | str = "cpu") -> Judge:
    """Raises CheckpointError where the folder is not a whole judge."""
    try:
        config = JudgeConfig.model_validate_json((folder / "config.json").read_text())
    except OSError as error:
        raise CheckpointError(f"{folder.name}: cannot read config.json ({error.strerror})") from error
    except ValidationError as error:
        raise CheckpointError(f"{folder.name}: config.json: {error.errors()[0]['msg']}") from error
    network = config.build_network()
    load_weights(folder, network)
    return Judge(config, network.to(device).eval().requires_grad_(False))


def find_judge(checkpoints: Path, dataset: str, device: torch.device | str = "cpu") -> Judge:
    """The judge of that data set among the checkpoints. Raises CheckpointError where there is none."""
    for path in sorted(checkpoints.glob("*/config.json")):
        document = json.loads(path.read_text())
        if document.get("role") == "judge" and document["data"]["dataset"] == dataset:
            return load_judge(path.parent, device)
    raise CheckpointError(
        f"{checkpoints} holds no judge of {dataset}: train one first (python -m training train {dataset}-judge)"
    )
