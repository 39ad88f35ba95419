"""A recipe for a denoiser → what the trainer trains, and the checkpoint it becomes."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from model.checkpoint import Checkpoint, CheckpointError, Config, load_config, load_weights, save_checkpoint
from model.denoiser import NO_LABEL
from model.schedule import make_schedule
from training.data import training_set
from training.evaluate.card import PICTURES, write_denoiser_card
from training.generate import generate
from training.objectives import DenoisingLoss
from training.pictures import save_picture
from training.recipe import DenoiserRecipe, RecipeError

PICTURE_ROWS = {"images": 8, "points": 500}  # samples of each class in a sample picture


class DenoisingTask:
    """See `training.trainer.Task`."""

    def __init__(self, recipe: DenoiserRecipe, start_from: Path | None = None):
        self.recipe = recipe
        self.data = training_set(recipe.data.dataset)
        data = self.data.config
        if not recipe.objective.conditional:
            data = data.model_copy(update={"labels": ()})
        self.config = Config(
            name=recipe.name,
            data=data,
            network=recipe.network,
            schedule=recipe.schedule,
            prediction=recipe.prediction,
            sampling=recipe.sampling,
            recipe=recipe.model_dump(mode="json"),
        )
        torch.manual_seed(recipe.seed)
        try:
            self.network = self.config.build_network()
        except ValueError as error:
            raise RecipeError(f"{recipe.name}: network: {error}") from error
        self.network.to(memory_format=torch.channels_last)
        if start_from is not None:
            self._start_from(start_from)
        self.schedule = make_schedule(recipe.schedule.name, recipe.schedule.T)
        self._loss = DenoisingLoss(self.schedule, recipe.prediction, recipe.objective, data)
        self.stateful = [part for part in (self._loss.important,) if part is not None]

    def _start_from(self, folder: Path) -> None:
        """Raises RecipeError where the weights do not fit, or were trained to mean something else."""
        try:
            other = load_config(folder)
            load_weights(folder, self.network)
        except CheckpointError as error:
            raise RecipeError(f"--from: {error}") from error
        for section in ("schedule", "prediction"):
            theirs, ours = getattr(other, section), getattr(self.config, section)
            if theirs != ours:
                raise RecipeError(
                    f"--from: {folder.name} was trained with another {section} ({theirs}) than the recipe asks for "
                    f"({ours}); give the recipe that one"
                )

    def loss(self, network: nn.Module, rows: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        if not self.config.data.labels:
            labels = torch.full_like(labels, NO_LABEL)
        return self._loss(network, self.config.data.standardise(rows), labels, generator)

    def picture(self, network: nn.Module, path: Path) -> None:
        """Samples of every class side by side, by the recipe's own sampler and scale, of the same seeds each time."""
        data = self.config.data
        labels = np.repeat(list(range(len(data.labels))) or [NO_LABEL], PICTURE_ROWS[data.kind])
        checkpoint = Checkpoint(self.config, self.schedule, network)
        device = next(network.parameters()).device
        save_picture(path, data, generate(checkpoint, labels, self.config.sampling, device=device), labels)

    def save(self, network: nn.Module, folder: Path) -> None:
        """With a card that has no figures and no pictures: those of earlier weights would be lies."""
        for picture in PICTURES:
            (folder / picture).unlink(missing_ok=True)
        save_checkpoint(folder, self.config, network)
        write_denoiser_card(folder, self.config)
