"""A recipe for a denoiser → what the trainer trains, and the checkpoint it becomes."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from model.checkpoint import Checkpoint, CheckpointError, Config, load_weights, save_checkpoint
from model.denoiser import Conditions
from model.noise import sample_seeds
from model.plan import make_plan
from model.sample import sample
from model.schedule import make_schedule
from training.data import training_set
from training.objectives import DenoisingLoss, loss_weights
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
            try:
                load_weights(start_from, self.network)
            except CheckpointError as error:
                raise RecipeError(f"--from: {error}") from error
        self.schedule = make_schedule(recipe.schedule.name, recipe.schedule.T)
        objective = recipe.objective
        weights = loss_weights(objective.weighting, recipe.prediction.target, self.schedule, objective.variance)
        self._loss = DenoisingLoss(self.schedule, recipe.prediction.target, weights, objective.label_drop)

    def loss(self, network: nn.Module, rows: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        if not self.config.data.labels:
            labels = torch.full_like(labels, -1)
        return self._loss(network, self.config.data.standardise(rows), labels, generator)

    def picture(self, network: nn.Module, path: Path) -> None:
        """Samples of every class side by side, by the recipe's own sampler and scale, of the same seeds each time."""
        config = self.config
        classes = list(range(len(config.data.labels))) or [-1]
        labels = np.repeat(classes, PICTURE_ROWS[config.data.kind])
        save_picture(path, config.data, self.generate(network, labels), labels)

    def generate(self, network: nn.Module, labels: np.ndarray) -> Tensor:
        """One sample a label, in the data's own units, from a network that is still in training."""
        checkpoint = Checkpoint(self.config, self.schedule, network)
        options = self.config.sampling
        denoiser = checkpoint.denoiser(next(network.parameters()).device)
        plan = make_plan(self.schedule, options.sampler, options.steps, eta=options.eta, variance=options.variance)
        conditions = Conditions(torch.from_numpy(labels), torch.full((len(labels),), options.guidance_scale))
        seeds = torch.from_numpy(sample_seeds(0, len(labels)))
        return self.config.data.restore(sample(denoiser, plan, conditions, seeds, self.config.data.shape)).cpu()

    def save(self, network: nn.Module, folder: Path) -> None:
        save_checkpoint(folder, self.config, network)
