"""A run's averaged weights on the way, as checkpoints of their own: so one sees, and measures, how a network learns."""

import re
from pathlib import Path

from safetensors import SafetensorError
from torch import nn

from model.checkpoints.config import NAME_PATTERN
from training.recipe import Recipe, RecipeError
from training.tasks.task import Task

KEPT = "kept"  # the folder of a run that they lie in


def kept_name(recipe: Recipe, step: int) -> str:
    """What its checkpoint is called as it was after so many steps: names are in the order of steps.

    Raises RecipeError if that is no name."""
    digits = len(str(recipe.optimisation.steps))
    kept = f"{recipe.name}-at-{step:0{digits}}"
    if not re.match(NAME_PATTERN, kept):
        raise RecipeError(f"--keep-every: {kept} would be too long a name: give the recipe a shorter one")
    return kept


def keep_weights(task: Task, network: nn.Module, run: Path, step: int) -> None:
    """Write the (averaged) network, after so many steps, into the run's folder `kept`.

    Raises RecipeError where it cannot be written.
    """
    whole = task.config
    recipe = whole.recipe | {"optimisation": whole.recipe["optimisation"] | {"steps": step}}
    name = kept_name(task.recipe, step)
    task.config = whole.model_copy(update={"name": name, "recipe": recipe})
    try:
        task.save(network, run / KEPT / name)
    except (OSError, SafetensorError) as error:
        raise RecipeError(
            f"{run / KEPT / name} cannot be written ({error}): make room, or leave out --keep-every"
        ) from error
    finally:
        task.config = whole
