"""A recipe for a judge → what the trainer trains, and the checkpoint it becomes."""

import math
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.checkpoint import WEIGHTS
from model.weights import CheckpointError, load_weights
from training.data import training_set
from training.evaluate.card import write_judge_card
from training.evaluate.judge import JudgeConfig, JudgeNetwork, save_judge
from training.pictures import save_picture
from training.recipe import JudgeRecipe, RecipeError

# Of every training image: how far it is moved, turned, stretched. Never flipped: a mirrored 2 is no 2.
SHIFT = 2.0  # pixels
ROTATION = math.radians(12)
SCALE = 0.1
SHEAR = 0.1


class JudgeTask:
    """See `training.trainer.Task`."""

    def __init__(self, recipe: JudgeRecipe, start_from: Path | None = None):
        self.recipe = recipe
        self.data = training_set(recipe.data)
        self.stateful = ()
        self.config = JudgeConfig(
            name=recipe.name,
            data=self.data.config,
            width=recipe.width,
            features=recipe.features,
            recipe=recipe.model_dump(mode="json"),
        )
        torch.manual_seed(recipe.seed)
        self.network = JudgeNetwork(self.config).to(memory_format=torch.channels_last)
        if start_from is not None:
            try:
                load_weights(start_from / WEIGHTS, self.network)
            except CheckpointError as error:
                raise RecipeError(f"--from: {error}") from error

    def loss(self, network: nn.Module, rows: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        standardised = self.config.data.standardise(rows)
        return F.cross_entropy(network(distort(standardised, generator)).float(), labels, label_smoothing=0.05)

    def picture(self, network: nn.Module, path: Path) -> None:
        """What it is shown: distorted training images."""
        generator = torch.Generator().manual_seed(0)
        rows, labels = self.data.draw(64, generator)
        seen = distort(self.config.data.standardise(rows), generator)
        save_picture(path, self.config.data, self.config.data.restore(seen), labels.numpy(), columns=8)

    def save(self, network: nn.Module, folder: Path) -> None:
        save_judge(folder, self.config, network)
        write_judge_card(folder, self.config)


def distort(images: Tensor, generator: torch.Generator) -> Tensor:
    """A small random affine map of each image [rows, C, H, W], empty (−1) beyond its edge."""
    rows, side = len(images), images.shape[-1]

    def uniform(bound: float) -> Tensor:
        return (torch.rand(rows, generator=generator) * 2 - 1) * bound

    angle, shear = uniform(ROTATION), uniform(SHEAR)
    scale_x, scale_y = 1 + uniform(SCALE), 1 + uniform(SCALE)
    theta = torch.stack(
        [
            torch.stack([angle.cos() * scale_x, -angle.sin() + shear, uniform(2 * SHIFT / side)], 1),
            torch.stack([angle.sin(), angle.cos() * scale_y, uniform(2 * SHIFT / side)], 1),
        ],
        1,
    ).to(images.device)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images + 1, grid, align_corners=False) - 1
