"""A recipe for the weak network of autoguidance → what the trainer trains, and the checkpoint it becomes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from model.checkpoints.autoguidance import AutoguidanceCheckpoint, AutoguidanceConfig
from model.checkpoints.base import WEIGHTS, save_checkpoint
from model.checkpoints.config import check_steps
from model.checkpoints.denoiser import DenoiserCheckpoint, DenoiserConfig, load_checkpoint
from model.checkpoints.weights import CheckpointError, load_weights
from training.card.card import SAMPLES, write_autoguidance_card
from training.data import has_changed_since, section_trained_on
from training.data.training_set import TrainingSet
from training.recipe import AutoguidanceRecipe, DenoiserRecipe, RecipeError, trained_by
from training.tasks.denoiser import DenoisingTask
from training.tasks.sample_picture import save_sample_picture
from training.tasks.task import Batch, LossContext


class AutoguidanceTask:
    """See `training.tasks.task.Task`. The weak network is trained as its base was, on the same data by the same loss:
    only a network that errs in the same way shows where the base errs (Karras 2024, section 4)."""

    def __init__(self, recipe: AutoguidanceRecipe, base: Path, start_from: Path | None = None):
        """`base`: the folder of the checkpoint that the recipe's `base` names."""
        self.recipe = recipe
        try:
            self.base: DenoiserCheckpoint = load_checkpoint(base)
            check_steps(recipe.sampling, self.base.schedule.T)
            self.config = AutoguidanceConfig.beside(
                self.base,
                name=recipe.name,
                network=recipe.network,
                sampling=recipe.sampling,
                recipe=trained_by(recipe),
            )
            self._trained_as_base = DenoisingTask(_smaller(self.base.config, recipe))
        except (CheckpointError, ValueError) as error:
            raise RecipeError(f"{recipe.name}: base: {error}") from error
        if self._data_have_changed():
            raise RecipeError(f"{recipe.name}: base: the data have changed since {base.name} was trained on them")
        if start_from is not None:
            try:
                load_weights(start_from / WEIGHTS, self.network)
            except CheckpointError as error:
                raise RecipeError(f"--from: {error}") from error

    def _data_have_changed(self) -> bool:
        ours, theirs = self._trained_as_base.config.data, self.config.data
        shaped_alike = (ours.shape, ours.labels) == (theirs.shape, theirs.labels)
        return not shaped_alike or has_changed_since(self.base.config, self.data)

    @property
    def network(self) -> nn.Module:
        return self._trained_as_base.network

    @property
    def data(self) -> TrainingSet:
        return self._trained_as_base.data

    @property
    def stateful(self) -> Sequence[Any]:
        return self._trained_as_base.stateful

    def loss(self, batch: Batch, context: LossContext) -> Tensor:
        return self._trained_as_base.loss(batch, context)

    def picture(self, network: nn.Module, path: Path) -> None:
        """Samples that the network guides."""
        weak = AutoguidanceCheckpoint(self.config, self.base.schedule, network)
        save_sample_picture(path, self.base, next(network.parameters()).device, weak)

    def save(self, network: nn.Module, folder: Path) -> None:
        for picture in SAMPLES:
            (folder / picture).unlink(missing_ok=True)  # of earlier weights
        save_checkpoint(folder, self.config, network)
        write_autoguidance_card(folder, self.config)


def _smaller(base: DenoiserConfig, recipe: AutoguidanceRecipe) -> DenoiserRecipe:
    """The base's own recipe with another network, trained otherwise long."""
    learned = base.prediction.learned_variance
    objective = {"loss": "hybrid" if learned else "regression", "conditional": bool(base.data.labels)}
    return DenoiserRecipe.model_validate(
        {
            "name": recipe.name,
            "description": recipe.description,
            "seed": recipe.seed,
            "data": section_trained_on(base).model_dump(mode="json"),
            "network": recipe.network.model_dump(),
            "schedule": base.schedule.model_dump(),
            "prediction": base.prediction.model_dump(),
            "objective": base.recipe.get("objective", objective),
            "optimisation": recipe.optimisation.model_dump(),
            "sampling": base.sampling.model_dump(),
        }
    )
