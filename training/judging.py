"""A recipe for a judge → what the trainer trains, and the checkpoint it becomes."""

import math
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.utils import save_image

from model.checkpoint import CheckpointError, load_weights, save_checkpoint
from training.data import training_set
from training.data.digits import mnist
from training.evaluate.judge import Judge, JudgeConfig
from training.recipe import JudgeRecipe, RecipeError

ROTATION = 12 * math.pi / 180  # radians, either way
SCALE = 0.1  # 1 ± this
SHIFT = 2.5  # pixels, either way
LABEL_SMOOTHING = 0.05
PICTURE_ROWS = 64


class JudgingTask:
    """See `training.trainer.Task`."""

    def __init__(self, recipe: JudgeRecipe, start_from: Path | None = None):
        self.recipe = recipe
        self.data = training_set(recipe.data.dataset)
        self.config = JudgeConfig(
            name=recipe.name,
            data=self.data.config,
            width=recipe.width,
            features=recipe.features,
            recipe=recipe.model_dump(mode="json"),
        )
        torch.manual_seed(recipe.seed)
        self.network = self.config.build_network().to(memory_format=torch.channels_last)
        if start_from is not None:
            try:
                load_weights(start_from, self.network)
            except CheckpointError as error:
                raise RecipeError(f"--from: {error}") from error

    def loss(self, network: nn.Module, rows: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Cross-entropy with smoothed labels (Szegedy 2016, section 7), of slightly moved images."""
        x = self.config.data.standardise(augment(rows, generator, background=0.0))
        _, logits = network(x.to(memory_format=torch.channels_last))
        return F.cross_entropy(logits.float(), labels, label_smoothing=LABEL_SMOOTHING)

    def picture(self, network: nn.Module, path: Path) -> None:
        """The test images that it is furthest from reading rightly, worst first."""
        test = mnist(train=False)
        judgement = self._judge(network)(test.images)
        believed = judgement.probabilities.gather(1, test.labels.unsqueeze(1)).flatten()
        worst = believed.argsort()[:PICTURE_ROWS]
        path.parent.mkdir(parents=True, exist_ok=True)
        save_image(test.images[worst].float() / 255, path, nrow=16, padding=2, pad_value=0.3)

    def save(self, network: nn.Module, folder: Path) -> None:
        """Write the checkpoint; its metrics and card are `training.evaluate.card`'s."""
        save_checkpoint(folder, self.config, network)

    def _judge(self, network: nn.Module) -> Judge:
        return Judge(self.config, network)


def augment(images: Tensor, generator: torch.Generator, background: float) -> Tensor:
    """Each image [rows, C, H, W] turned, scaled and shifted a little by its own random amounts; never flipped.

    `background` is the value of the pixels that come in from outside.
    """
    rows, _, height, width = images.shape
    turn, scale, right, down = torch.empty(4, rows).uniform_(-1, 1, generator=generator)
    turn, scale = turn * ROTATION, 1 + scale * SCALE
    # x' = M x + b in coordinates where the picture spans −1 … 1
    matrix = torch.stack(
        [
            torch.stack([turn.cos() / scale, -turn.sin() / scale, right * (2 * SHIFT / width)], dim=1),
            torch.stack([turn.sin() / scale, turn.cos() / scale, down * (2 * SHIFT / height)], dim=1),
        ],
        dim=1,
    )
    grid = F.affine_grid(matrix.to(images.device), list(images.shape), align_corners=False)
    return F.grid_sample(images - background, grid, align_corners=False) + background
