"""A recipe for a ControlNet beside a few-step student → what the trainer trains, and the checkpoint it becomes."""

from pathlib import Path

from torch import Tensor

from model.checkpoints.control import load_control
from model.checkpoints.denoiser import DenoiserConfig, load_checkpoint
from model.checkpoints.distilled import DistilledConfig
from model.checkpoints.weights import CheckpointError
from training.recipe import ControlFlowMapRecipe, RecipeError
from training.tasks.controlnet import ControlNetBeside
from training.tasks.flow_map import check_teacher
from training.tasks.jump_loss import JumpLoss
from training.tasks.task import Batch, LossContext
from training.tasks.teacher import Teacher
from training.tasks.trajectories import TrajectorySet


class ControlFlowMapTask(ControlNetBeside):
    """See `training.tasks.task.Task`. Only the ControlNet is trained: with its help, the locked student jumps along the
    runs of its teacher that follow hints. It starts as the teacher's ControlNet."""

    def __init__(self, recipe: ControlFlowMapRecipe, base: Path, teacher: Path, start_from: Path | None = None):
        """`base`, `teacher`: the folders of the checkpoints that these fields of the recipe name. The teacher's own
        base lies beside it."""
        try:
            control = load_control(teacher)
        except CheckpointError as error:
            raise RecipeError(f"{recipe.name}: teacher: {error}") from error
        if control.hint == "inpainting":
            raise RecipeError(f"{recipe.name}: teacher: {teacher.name} is for masks, which no student takes")
        super().__init__(recipe, base, control.hint)
        distilled = self.base.config.distilled
        assert distilled is not None, "a base that is no student has been refused"
        _check_settings(recipe, distilled)
        try:
            denoiser = load_checkpoint(teacher.parent / distilled.teacher)
            check_teacher(denoiser.config, recipe.distillation.teacher_steps)
        except (CheckpointError, ValueError) as error:
            raise RecipeError(f"{recipe.name}: teacher: {error}") from error
        if not control.fits(denoiser):
            raise RecipeError(
                f"{recipe.name}: teacher: {teacher.name} is for {control.config.base.name}, and {base.name} "
                f"learned from {distilled.teacher}: use a ControlNet beside that, with the weights that it has"
            )
        self.config = self.config.model_copy(update={"recipe": self.config.recipe | {"teacher": teacher.name}})
        self.recipe = recipe
        self.teacher = Teacher(denoiser, self.hinted, control)
        self.data = TrajectorySet(self.teacher, recipe.distillation, recipe.seed)
        self.network.begin_as(control.network)
        self.start_from(start_from)
        self._loss = JumpLoss(denoiser.schedule, recipe.distillation)

    def refusal(self, base: DenoiserConfig) -> str | None:
        return None if base.distilled is not None else 'is no few-step student; the role "control" is for it'

    def loss(self, batch: Batch, context: LossContext) -> Tensor:
        """The batch has runs, and their numbers for labels."""
        device = batch.rows.device
        self.locked.to(device)

        def helped(x_t: Tensor, t: Tensor, condition: Tensor, scale: Tensor, s: Tensor, hint: Tensor) -> Tensor:
            more = (scale, s)
            residuals = context.network(x_t, t, condition, *more, hint)
            v: Tensor = self.locked(x_t, t, condition, *more, *residuals)
            return v

        given = self.data.runs.given(batch.labels.cpu(), device)
        return self._loss(helped, batch.rows, given, context.generator)


def _check_settings(recipe: ControlFlowMapRecipe, student: DistilledConfig) -> None:
    """Raises RecipeError where the ControlNet would be asked for what it has not learned."""
    section, name = recipe.distillation, recipe.name
    if section.guidance_range != student.guidance_range or section.guidance_interval != student.guidance_interval:
        interval = student.guidance_interval
        raise RecipeError(
            f"{name}: distillation: the scales and their interval are the student's: guidance_range = "
            f"{list(student.guidance_range)}, guidance_interval = {'left away' if interval is None else list(interval)}"
        )
    if recipe.sampling.steps is not None or recipe.sampling.sampler is not None:
        raise RecipeError(f"{name}: sampling: steps and sampler are the student's: leave them away")
    low, high = student.guidance_range
    if not low <= recipe.sampling.guidance_scale <= high:
        raise RecipeError(f"{name}: sampling.guidance_scale: {low:g} … {high:g}, the scales that it learns")
