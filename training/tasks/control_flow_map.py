"""A recipe for a ControlNet beside a few-step student → what the trainer trains, and the checkpoint it becomes."""

from pathlib import Path

from torch import Tensor

from model.checkpoints.control import load_control
from model.checkpoints.denoiser import DenoiserConfig, load_checkpoint
from model.checkpoints.weights import CheckpointError
from training.recipe import ControlFlowMapRecipe, RecipeError
from training.tasks.controlnet import ControlNetBeside
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
            if control.hint == "inpainting":
                raise RecipeError(f"{recipe.name}: teacher: {teacher.name} is for masks, which no student takes")
            super().__init__(recipe, base, control.hint)
            distilled = self.base.config.distilled
            assert distilled is not None, "a base that is no student has been refused"
            options = recipe.sampling.applied_to(self.base.config.sampling)
            if (refusal := distilled.refusal(options)) is not None:
                raise RecipeError(f"{recipe.name}: sampling.{refusal[0]}: for {base.name} {refusal[1]}")
            denoiser = load_checkpoint(teacher.parent / distilled.teacher)
        except CheckpointError as error:
            raise RecipeError(f"{recipe.name}: teacher: {error}") from error
        if not control.fits(denoiser):
            raise RecipeError(
                f"{recipe.name}: teacher: {teacher.name} is for {control.config.base.name}, and {base.name} "
                f"learned from {distilled.teacher}: use a ControlNet beside that, with the weights that it has"
            )
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
