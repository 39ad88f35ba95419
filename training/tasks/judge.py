"""A recipe for a judge → what the trainer trains, and the checkpoint it becomes."""

import math
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.checkpoints.base import WEIGHTS
from model.checkpoints.judge import JudgeConfig, JudgeNetwork, save_judge
from model.checkpoints.weights import CheckpointError, load_weights
from training.card.card import write_judge_card
from training.data import training_set
from training.pictures import save_picture
from training.recipe import DistortionSection, JudgeRecipe, RecipeError, trained_by
from training.tasks.task import Batch, LossContext


class JudgeTask:
    """See `training.tasks.task.Task`."""

    def __init__(self, recipe: JudgeRecipe, start_from: Path | None = None):
        self.recipe = recipe
        self.data = training_set(recipe.data)
        if self.data.config.kind != "images" or not self.data.config.labels:
            raise RecipeError(
                f"{recipe.name}: data: a judge reads the classes of images: {recipe.data.dataset} has none; what is "
                f"measured without a judge is measured all the same"
            )
        self.stateful = ()
        self.config = JudgeConfig(
            name=recipe.name,
            data=self.data.config,
            width=recipe.width,
            features=recipe.features,
            recipe=trained_by(recipe),
        )
        torch.manual_seed(recipe.seed)
        self.network = JudgeNetwork(self.config).to(memory_format=torch.channels_last)
        if start_from is not None:
            try:
                load_weights(start_from / WEIGHTS, self.network)
            except CheckpointError as error:
                raise RecipeError(f"--from: {error}") from error

    def loss(self, batch: Batch, context: LossContext) -> Tensor:
        """Cross-entropy of distorted images, with smoothed labels."""
        seen = distort(self.config.data.standardise(batch.rows), self.recipe.distortion, context.generator)
        return F.cross_entropy(context.network(seen).float(), batch.labels, label_smoothing=0.05)

    def picture(self, network: nn.Module, path: Path) -> None:
        """The distorted images that it is trained on."""
        generator = torch.Generator().manual_seed(0)
        rows, labels = self.data.draw(64, generator)
        seen = distort(self.config.data.standardise(rows), self.recipe.distortion, generator)
        save_picture(path, self.config.data, self.config.data.restore(seen), labels.numpy(), columns=8)

    def save(self, network: nn.Module, folder: Path) -> None:
        save_judge(folder, self.config, network)
        write_judge_card(folder, self.config)


def distort(images: Tensor, by: DistortionSection, generator: torch.Generator) -> Tensor:
    """A small random affine map of each image [rows, C, H, W]; its rim is drawn out. Never flipped: a mirrored 2 is no
    2."""
    rows, _, height, width = images.shape

    def uniform(bound: float) -> Tensor:
        return (torch.rand(rows, generator=generator) * 2 - 1) * bound

    angle, shear = uniform(math.radians(by.rotation)), uniform(by.shear)
    scale_x, scale_y = 1 + uniform(by.scale), 1 + uniform(by.scale)
    # In −1 … 1 along each side: what turns a square keeps its shape in a rectangle too.
    aspect = height / width
    theta = torch.stack(
        [
            torch.stack([angle.cos() * scale_x, (-angle.sin() + shear) * aspect, uniform(2 * by.shift)], 1),
            torch.stack([angle.sin() / aspect, angle.cos() * scale_y, uniform(2 * by.shift)], 1),
        ],
        1,
    ).to(images.device)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)
