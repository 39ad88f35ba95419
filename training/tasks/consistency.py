"""A recipe for a consistency student → what the trainer trains, and the checkpoint it becomes."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from model.checkpoints.base import WEIGHTS, save_checkpoint
from model.checkpoints.config import load_config
from model.checkpoints.denoiser import DenoiserCheckpoint, DenoiserConfig, load_checkpoint
from model.checkpoints.distilled import DistilledConfig
from model.checkpoints.weights import CheckpointError, load_weights
from model.conditions import NO_LABEL
from model.networks.parameter_names import NAMES
from training.card.card import PICTURES, write_denoiser_card
from training.data import section_trained_on, trained_on
from training.data.data_section import BuiltInSection
from training.generate import generate, labelled
from training.pictures import save_picture
from training.recipe import ConsistencyRecipe, RecipeError, trained_by
from training.tasks.consistency_loss import ConsistencyLoss, gap_at
from training.tasks.task import Batch, LossContext

PICTURE_ROWS = {"images": 8, "points": 500}  # samples of each class in a sample picture


class ConsistencyTask:
    """See `training.tasks.task.Task`. The student starts as its teacher, and the teacher is frozen."""

    def __init__(self, recipe: ConsistencyRecipe, teacher: Path, start_from: Path | None = None):
        """`teacher`: the folder of the checkpoint that the recipe's `teacher` names."""
        self.recipe = recipe
        try:
            self.teacher = load_checkpoint(teacher)
            _check_teacher(self.teacher.config)
            self.data = trained_on(self.teacher.config)
            self.config = _student_config(recipe, self.teacher.config)
        except (CheckpointError, ValueError) as error:
            raise RecipeError(f"{recipe.name}: teacher: {error}") from error
        torch.manual_seed(recipe.seed)
        self.network = self.config.build_network().to(memory_format=torch.channels_last)
        if start_from is None:
            begin_as(self.network, self.teacher.network)
        else:
            self._start_from(start_from)
        self._teacher = self.teacher.network.to(memory_format=torch.channels_last).requires_grad_(False)
        self._loss = ConsistencyLoss(
            self.teacher.schedule, self._teacher, recipe.distillation, self.teacher.config.data.clip
        )
        self.stateful = ()

    def _start_from(self, folder: Path) -> None:
        """Raises RecipeError where the folder holds no student, or one of another shape."""
        try:
            if load_config(folder, DenoiserConfig).distilled is None:
                raise RecipeError(
                    f"--from: {folder.name} is no student; without --from the student starts as its teacher"
                )
            load_weights(folder / WEIGHTS, self.network)
        except CheckpointError as error:
            raise RecipeError(f"--from: {error}") from error

    def loss(self, batch: Batch, context: LossContext) -> Tensor:
        self._teacher.to(batch.rows.device)
        gap = gap_at(context.step, self.recipe.optimisation.steps, self.recipe.distillation.gaps)
        x0 = self.config.data.standardise(batch.rows)
        return self._loss(context.network, x0, batch.labels, gap, context.generator)

    def picture(self, network: nn.Module, path: Path) -> None:
        """Samples of every class by the recipe's own sampler and scale, of the same seeds each time."""
        data, sampling = self.config.data, self.config.sampling
        labels = np.repeat(np.arange(len(data.labels)) if data.labels else [NO_LABEL], PICTURE_ROWS[data.kind])
        checkpoint = DenoiserCheckpoint(self.config, self.teacher.schedule, network)
        device = next(network.parameters()).device
        save_picture(path, data, generate(checkpoint, labelled(labels, sampling), sampling, device=device), labels)

    def save(self, network: nn.Module, folder: Path) -> None:
        """With a card that has no figures and no pictures: those of earlier weights would be lies."""
        for picture in PICTURES:
            (folder / picture).unlink(missing_ok=True)
        save_checkpoint(folder, self.config, network)
        write_denoiser_card(folder, self.config)


def begin_as(student: nn.Module, teacher: nn.Module) -> None:
    """Give the student its teacher's weights. What reads the scale stays as it is."""
    own = {name: weight for name, weight in student.state_dict().items() if name.startswith(NAMES.guidance)}
    student.load_state_dict(teacher.state_dict() | own)


def _student_config(recipe: ConsistencyRecipe, teacher: DenoiserConfig) -> DenoiserConfig:
    """Raises ValueError where the recipe's sampling is none of a consistency model."""
    section = section_trained_on(teacher)
    own_data = {} if isinstance(section, BuiltInSection) else {"data": section.model_dump(mode="json")}
    return DenoiserConfig(
        name=recipe.name,
        data=teacher.data,
        network=teacher.network,
        schedule=teacher.schedule,
        prediction=teacher.prediction,
        label_shares=teacher.label_shares,
        sampling=recipe.sampling,
        distilled=DistilledConfig(
            teacher=teacher.name, consistency=True, guidance_range=recipe.distillation.guidance_range
        ),
        recipe=trained_by(recipe) | own_data,
    )


def _check_teacher(config: DenoiserConfig) -> None:
    """Raises ValueError where it cannot be distilled."""
    if config.prediction.target != "v" or config.prediction.learned_variance:
        raise ValueError(f"{config.name}: a teacher predicts v and has learned no variance")
    if config.text is not None:
        raise ValueError(f"{config.name} reads prompts; use a teacher that reads labels, or nothing")
    if config.distilled is not None:
        raise ValueError(f"{config.name} is a student itself")
