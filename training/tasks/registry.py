"""A recipe of any role → what the trainer trains."""

from pathlib import Path

from model.checkpoints.config import CONFIG
from training.recipe import (
    AutoguidanceRecipe,
    ClassifierRecipe,
    ClipRecipe,
    ControlFlowMapRecipe,
    ControlRecipe,
    DenoiserRecipe,
    FlowMapRecipe,
    JudgeRecipe,
    Recipe,
)
from training.tasks.autoguidance import AutoguidanceTask
from training.tasks.classifier import ClassifierTask
from training.tasks.clip import ClipTask
from training.tasks.control import ControlTask
from training.tasks.control_flow_map import ControlFlowMapTask
from training.tasks.denoiser import DenoisingTask
from training.tasks.flow_map import FlowMapTask
from training.tasks.judge import JudgeTask
from training.tasks.task import Task

_TASKS = {
    DenoiserRecipe: DenoisingTask,
    JudgeRecipe: JudgeTask,
    ClassifierRecipe: ClassifierTask,
    ClipRecipe: ClipTask,
    ControlRecipe: ControlTask,
    AutoguidanceRecipe: AutoguidanceTask,
    FlowMapRecipe: FlowMapTask,
    ControlFlowMapRecipe: ControlFlowMapTask,
}


def find_checkpoint(name_or_path: str, checkpoints: Path) -> Path:
    """A folder that holds a checkpoint, or one among the checkpoints: data may lie here under the same name."""
    path = Path(name_or_path)
    return path if (path / CONFIG).is_file() else checkpoints / name_or_path


def needed(recipe: Recipe, checkpoints: Path) -> dict[str, Path]:
    """The checkpoints that a recipe builds on, by the name of its field, whether they are there or not."""
    names = {field: getattr(recipe, field, None) for field in ("text_from", "features_from", "base", "teacher")}
    return {field: find_checkpoint(name, checkpoints) for field, name in names.items() if name is not None}


def make_task(recipe: Recipe, checkpoints: Path, start_from: str | None = None, *, begun: bool = False) -> Task:
    """Raises RecipeError and DataError where it cannot be trained.

    begun  there is a state to go on from: what the run started from is told, and need not be there any more
    """
    sources, kind = needed(recipe, checkpoints), _TASKS[type(recipe)]
    if start_from is None:
        fresh: Task = kind(recipe, **sources)
        return fresh
    folder = find_checkpoint(start_from, checkpoints)
    task: Task = kind(recipe, **sources) if begun else kind(recipe, **sources, start_from=folder)
    task.config = task.config.model_copy(update={"recipe": task.config.recipe | {"started_from": folder.name}})
    return task
