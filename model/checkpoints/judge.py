"""The judge: a classifier of real images that measures samples and never guides them."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from model.checkpoints.base import load_network, save_checkpoint
from model.checkpoints.config import CheckpointConfig, load_config, read_role
from model.checkpoints.weights import CheckpointError, fingerprint
from model.data import DataConfig
from model.networks import MAX_WIDTH

BATCH = 500


class _Block(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(8, channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(8, channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.layers(x)
        return x + residual


class JudgeNetwork(nn.Module):
    """Standardised images [rows, C, H, W] → logits [rows, classes], through `features` [rows, features].

    A small residual network (He 2016). Group norm has no running statistics, so averaged weights need no correction.
    """

    def __init__(self, config: "JudgeConfig"):
        super().__init__()
        width = config.width
        self.stem = nn.Conv2d(config.data.shape[0], width, 3, padding=1)
        self.levels = nn.Sequential(
            _Block(width),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            _Block(2 * width),
            nn.Conv2d(2 * width, 4 * width, 3, stride=2, padding=1),
            _Block(4 * width),
            nn.GroupNorm(8, 4 * width),
            nn.ReLU(),
        )
        self.to_features = nn.Linear(4 * width, config.features)
        self.to_logits = nn.Linear(config.features, len(config.data.labels))

    def features(self, x: Tensor) -> Tensor:
        h: Tensor = self.levels(self.stem(x))
        return F.relu(self.to_features(h.mean((2, 3))))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.to_logits(self.features(x))
        return logits


class JudgeConfig(CheckpointConfig[JudgeNetwork]):
    """A judge's config.json.

    width     channels of the first level; the next two have twice and four times as many
    features  width of the feature layer
    """

    role: Literal["judge"] = "judge"
    width: int = Field(ge=8, le=MAX_WIDTH)
    features: int = Field(ge=1, le=MAX_WIDTH)

    def build_network(self) -> JudgeNetwork:
        return JudgeNetwork(self)

    def judges(self, data: DataConfig) -> bool:
        """Such images, and their classes if `data` has any?"""
        same_images = (self.data.dataset, self.data.shape) == (data.dataset, data.shape)
        return same_images and data.labels in ((), self.data.labels)


class Judge:
    """A trained judge on a device. `key` is a hash of its weights."""

    def __init__(self, config: JudgeConfig, network: JudgeNetwork, device: torch.device | str = "cpu"):
        self.config = config
        self.key = fingerprint(network)
        self.device = torch.device(device)
        self._network = network.to(self.device).to(memory_format=torch.channels_last).eval()

    @torch.inference_mode()
    def look(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images [n, C, H, W] in 0 … 255 → (features float32 [n, features], classes int64 [n]), on the CPU."""
        features, classes = [], []
        for batch in self._batches(images):
            found = self._network.features(batch)
            features.append(found.cpu())
            classes.append(self._network.to_logits(found).argmax(1).cpu())
        return torch.cat(features), torch.cat(classes)

    @torch.inference_mode()
    def probabilities(self, images: Tensor) -> Tensor:
        """Images [n, C, H, W] in 0 … 255 → p(class|image), float32 [n, classes], on the CPU."""
        return torch.cat([self._network(batch).softmax(1).cpu() for batch in self._batches(images)])

    def _batches(self, images: Tensor) -> Iterator[Tensor]:
        for batch in torch.split(images, BATCH):
            yield self.config.data.standardise(batch.float().to(self.device))


def save_judge(folder: Path, config: JudgeConfig, network: nn.Module) -> None:
    """Write config.json and the weights."""
    save_checkpoint(folder, config, network)


def load_judge(folder: Path, device: torch.device | str = "cpu") -> Judge:
    """Raises CheckpointError."""
    config = load_config(folder, JudgeConfig)
    return Judge(config, load_network(folder, config), device)


def judges_in(checkpoints: Path) -> Iterator[tuple[Path, JudgeConfig]]:
    """The folders in `checkpoints` that have a judge, in their order; broken ones are passed over."""
    for folder in sorted(checkpoints.iterdir()) if checkpoints.is_dir() else []:
        if read_role(folder) == "judge":
            with contextlib.suppress(CheckpointError):
                yield folder, load_config(folder, JudgeConfig)


def find_judge(checkpoints: Path, data: DataConfig) -> Path | None:
    """The first folder in `checkpoints` with a judge of such images, and of their classes if `data` has any."""
    return next((folder for folder, config in judges_in(checkpoints) if config.judges(data)), None)
