"""A recipe for a student that jumps along an ODE → what the trainer trains, and the checkpoint it becomes."""

from pathlib import Path

import torch
from torch import Tensor, nn

from model.checkpoints.base import WEIGHTS, save_checkpoint
from model.checkpoints.config import load_config
from model.checkpoints.denoiser import DenoiserCheckpoint, DenoiserConfig, load_checkpoint
from model.checkpoints.distilled import DistilledConfig
from model.checkpoints.schedule_config import ScheduleConfig
from model.checkpoints.weights import CheckpointError, load_weights
from model.networks.adapters import AdapterConfig
from model.networks.parameter_names import NAMES
from training.card.card import PICTURES, write_denoiser_card
from training.data import captioned_as_trained, section_trained_on, trained_on
from training.data.data_section import BuiltInSection
from training.recipe import FlowMapRecipe, RecipeError, trained_by
from training.tasks.jump_loss import JumpLoss
from training.tasks.sample_picture import save_sample_picture
from training.tasks.task import Batch, LossContext
from training.tasks.teacher import Teacher
from training.tasks.trajectories import SEGMENTS, TrajectorySet


class FlowMapTask:
    """See `training.tasks.task.Task`. The student starts as its teacher, whose runs are its data."""

    def __init__(self, recipe: FlowMapRecipe, teacher: Path, start_from: Path | None = None):
        """`teacher`: the folder of the checkpoint that the recipe's `teacher` names."""
        self.recipe = recipe
        try:
            denoiser = load_checkpoint(teacher)
            check_teacher(denoiser.config, recipe.distillation.teacher_steps)
            real = (trained_on if denoiser.text is None else captioned_as_trained)(denoiser.config)
            self.teacher = Teacher(denoiser, real)
            self.config = _student_config(recipe, denoiser.config)
        except (CheckpointError, ValueError) as error:
            raise RecipeError(f"{recipe.name}: teacher: {error}") from error
        self.data = TrajectorySet(self.teacher, recipe.distillation, recipe.seed)
        torch.manual_seed(recipe.seed)
        self.network = self.config.build_network().to(memory_format=torch.channels_last)
        if start_from is None:
            begin_as(self.network, denoiser.network)
        else:
            self._start_from(start_from)
        self._loss = JumpLoss(denoiser.schedule, recipe.distillation)
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
        """The batch has runs, and their numbers for labels."""
        given = self.data.runs.given(batch.labels.cpu(), batch.rows.device)
        return self._loss(context.network, batch.rows, given, context.generator)

    def picture(self, network: nn.Module, path: Path) -> None:
        teacher = self.teacher.denoiser
        checkpoint = DenoiserCheckpoint(self.config, teacher.schedule, network, teacher.text)
        save_sample_picture(path, checkpoint, next(network.parameters()).device)

    def save(self, network: nn.Module, folder: Path) -> None:
        """With a card that has no figures and no pictures: those of earlier weights would be lies."""
        for picture in PICTURES:
            (folder / picture).unlink(missing_ok=True)
        save_checkpoint(folder, self.config, network, self.teacher.denoiser.text)
        write_denoiser_card(folder, self.config)


def begin_as(student: nn.Module, teacher: nn.Module) -> None:
    """Give the student its teacher's weights. What reads the scale and s stays as it is; a learned variance, the second
    half of the teacher's outputs, is left out."""
    weights = dict(teacher.state_dict())
    for name, own in student.state_dict().items():
        if name.startswith(NAMES.jump):
            weights[name] = own
        elif name.startswith(NAMES.output):
            weights[name] = weights[name][: len(own)]
    student.load_state_dict(weights)


def _student_config(recipe: FlowMapRecipe, teacher: DenoiserConfig) -> DenoiserConfig:
    """Raises ValueError where a student cannot be sampled as the recipe advises."""
    section = section_trained_on(teacher)
    own_data = {} if isinstance(section, BuiltInSection) else {"data": section.model_dump(mode="json")}
    return DenoiserConfig(
        name=recipe.name,
        data=teacher.data,
        network=teacher.network,
        schedule=teacher.schedule,
        prediction=teacher.prediction.model_copy(update={"learned_variance": False}),
        text=teacher.text,
        label_shares=teacher.label_shares,
        cluster_shares=teacher.cluster_shares,
        sampling=recipe.sampling,
        distilled=DistilledConfig(
            teacher=teacher.name,
            guidance_range=recipe.distillation.guidance_range,
            guidance_interval=recipe.distillation.guidance_interval,
        ),
        recipe=trained_by(recipe) | own_data,
    )


def check_teacher(config: DenoiserConfig, teacher_steps: int) -> None:
    """`teacher_steps` are taken in a quarter of T. Raises ValueError, with the remedy, if it cannot be distilled."""
    name, steps = config.name, SEGMENTS * teacher_steps
    if config.distilled is not None:
        raise ValueError(f"{name} is a student itself: distil its teacher, {config.distilled.teacher}")
    if isinstance(config.network, AdapterConfig) or not isinstance(config.schedule, ScheduleConfig):
        raise ValueError(f"{name} has another library's network or schedule: use a teacher that was trained here")
    if config.prediction.target != "v":
        raise ValueError(
            f"{name} predicts {config.prediction.target}: use a teacher that predicts v, as init proposes by itself"
        )
    if steps > config.schedule.T:
        raise ValueError(f"{name} has T = {config.schedule.T}: it cannot take {steps} steps; T = 1000 is usual")
