"""Images of samples side by side, as the report shows them."""

from collections.abc import Callable
from pathlib import Path

from torch import Tensor
from torch.nn import functional as F
from torchvision.utils import make_grid, save_image

from model.checkpoints.config import SamplingConfig
from model.checkpoints.denoiser import DenoiserConfig
from training.report import grid

SAMPLES_A_LINE = 10
ZOOM = 2  # pixels of the picture, a side, for each of an image's
MARGIN = dict(padding=2, pad_value=0.3)

Draw = Callable[[Path], None]
"""Draws the picture at that path. Samples have the seeds 0, 1, …: nothing is picked."""


def sheet(images: Tensor, columns: int) -> Tensor:
    """Images [n, C, H, W] in 0 … 255, side by side and so large that one sees them: [3, …] in 0 … 1."""
    large = F.interpolate(images.float().clamp(0, 255) / 255, scale_factor=ZOOM, mode="nearest")
    sheet: Tensor = make_grid(large, nrow=columns, **MARGIN)
    return sheet


def save_sheet(images: Tensor, path: Path, columns: int) -> None:
    save_image(sheet(images, columns), path)


def settings_of_scales(config: DenoiserConfig) -> SamplingConfig:
    """The settings at which scales are compared."""
    sampler, steps = grid.scales_at(config.schedule.T)
    return SamplingConfig(sampler=sampler, steps=steps)
