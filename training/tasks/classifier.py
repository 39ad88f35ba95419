"""A recipe for a classifier of noisy rows → what the trainer trains, and the checkpoint it becomes."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.checkpoints.base import WEIGHTS, save_checkpoint
from model.checkpoints.classifier import Classifier, ClassifierConfig
from model.checkpoints.config import load_config
from model.checkpoints.weights import CheckpointError, load_weights
from model.noise_schedule import make_schedule
from model.prediction import diffused
from training.card.card import ACCURACY, write_guidance_card
from training.data import training_set
from training.pictures import save_noisy_picture
from training.recipe import ClassifierRecipe, RecipeError, trained_by
from training.tasks.objectives import draw_timesteps
from training.tasks.task import Batch, LossContext


class ClassifierTask:
    """See `training.tasks.task.Task`."""

    def __init__(self, recipe: ClassifierRecipe, start_from: Path | None = None):
        self.recipe = recipe
        self.data = training_set(recipe.data)
        if not self.data.config.labels:
            raise RecipeError(f"{recipe.name}: data: {recipe.data.dataset} has no classes that could be told apart")
        self.stateful = ()
        self.config = ClassifierConfig(
            name=recipe.name,
            data=self.data.config,
            network=recipe.network,
            schedule=recipe.schedule,
            sampling=recipe.sampling,
            recipe=trained_by(recipe),
        )
        self.schedule = make_schedule(recipe.schedule.name, recipe.schedule.T)
        self._alpha_bar = torch.from_numpy(self.schedule.alpha_bar).float()
        torch.manual_seed(recipe.seed)
        try:
            self.network = self.config.build_network().to(memory_format=torch.channels_last)
        except ValueError as error:
            raise RecipeError(f"{recipe.name}: network: {error}") from error
        if start_from is not None:
            self._start_from(start_from)

    def _start_from(self, folder: Path) -> None:
        """Raises RecipeError where the weights do not fit, or were trained on other noise."""
        try:
            other = load_config(folder, ClassifierConfig)
            load_weights(folder / WEIGHTS, self.network)
        except CheckpointError as error:
            raise RecipeError(f"--from: {error}") from error
        if other.schedule != self.config.schedule:
            raise RecipeError(f"--from: {folder.name} was trained with another schedule ({other.schedule})")

    def loss(self, batch: Batch, context: LossContext) -> Tensor:
        """−log p(label|x_t), over all t alike."""
        x0 = self.config.data.standardise(batch.rows)
        t = draw_timesteps(len(x0), self.schedule.T, context.generator)
        noise = torch.randn(x0.shape, generator=context.generator).to(x0.device)
        x_t = diffused(x0, noise, self._alpha_bar[t].to(x0.device))
        classifier = Classifier(context.network, self.schedule, x0.device)
        return F.nll_loss(classifier.log_probabilities(x_t, t.to(x0.device)), batch.labels)

    def picture(self, network: nn.Module, path: Path) -> None:
        """The noisy rows that it is trained on."""
        save_noisy_picture(path, self.data, self.schedule)

    def save(self, network: nn.Module, folder: Path) -> None:
        (folder / ACCURACY).unlink(missing_ok=True)  # of earlier weights
        save_checkpoint(folder, self.config, network)
        write_guidance_card(folder, self.config)
