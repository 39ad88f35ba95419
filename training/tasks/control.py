"""A recipe for a ControlNet → what the trainer trains, and the checkpoint it becomes."""

from pathlib import Path

from torch import Tensor

from model.checkpoints.denoiser import DenoiserConfig
from training.recipe import ControlRecipe, ObjectiveSection
from training.tasks.controlnet import ControlNetBeside
from training.tasks.objectives import DenoisingLoss
from training.tasks.task import Batch, LossContext


class ControlTask(ControlNetBeside):
    """See `training.tasks.task.Task`. Only the ControlNet is trained; the base lends its loss."""

    def __init__(self, recipe: ControlRecipe, base: Path, start_from: Path | None = None):
        """`base`: the folder of the checkpoint that the recipe's `base` names."""
        super().__init__(recipe, base, recipe.hint)
        self.recipe, self.data = recipe, self.hinted
        self.start_from(start_from)
        objective = ObjectiveSection(
            loss="hybrid" if self.base.config.prediction.learned_variance else "regression",
            weighting=recipe.weighting,
            label_drop=recipe.label_drop,
        )
        self._loss = DenoisingLoss(self.base.schedule, self.base.config.prediction, objective, self.config.data)

    def refusal(self, base: DenoiserConfig) -> str | None:
        if base.distilled is None:
            return None
        return (
            "is a few-step student: its x̂0 is no posterior mean, which this loss teaches; use its teacher, "
            f'{base.distilled.teacher}, and then, for the student, the role "control-flow-map"'
        )

    def loss(self, batch: Batch, context: LossContext) -> Tensor:
        """The base's own loss with the ControlNet's help. The batch has rows [rows, C + 1, H, W]: images, and hints."""
        images, hints = batch.rows[:, :-1], batch.rows[:, -1:]
        self.locked.to(images.device)
        return self._loss(
            lambda x_t, t, condition: self.locked(x_t, t, condition, *context.network(x_t, t, condition, hints)),
            self.config.data.standardise(images),
            batch.labels,
            context.generator,
        )
