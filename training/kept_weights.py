"""A run's averaged weights on the way, as checkpoints of their own: so one sees, and measures, how a network learns."""

import re
from pathlib import Path

from torch import nn

from model.checkpoints.config import NAME_PATTERN
from model.checkpoints.weights import CheckpointError
from training.recipe import KEPT_AT, Recipe, RecipeError
from training.tasks.task import Task

KEPT = "kept"  # the folder of a run that they lie in


def check_keeping(recipe: Recipe, every: int) -> None:
    """Raises RecipeError if nothing is kept so often, or if it would have too long a name."""
    if every >= recipe.optimisation.steps:
        raise RecipeError(
            f"--keep-every {every}: {recipe.name} has {recipe.optimisation.steps} steps, and after the last it is the "
            f"checkpoint itself: give a smaller number"
        )
    if not re.match(NAME_PATTERN, kept_name(recipe, every)):
        raise RecipeError(
            f"--keep-every: {kept_name(recipe, every)} would be too long a name: give the recipe a shorter one"
        )


def still_to_keep(recipe: Recipe, every: int, done: int) -> int:
    """How many a run keeps that has done so many steps."""
    return max(0, (recipe.optimisation.steps - 1) // every - done // every)


def kept_name(recipe: Recipe, step: int) -> str:
    """What its checkpoint is called as it was after so many steps. Names are in the order of steps."""
    digits = len(str(recipe.optimisation.steps))
    return f"{recipe.name}-at-{step:0{digits}}"


def keep_weights(task: Task, network: nn.Module, run: Path, step: int) -> None:
    """Write the (averaged) network, after so many steps, into the run's folder `kept`.

    Raises RecipeError where it cannot be written.
    """
    whole = task.config
    folder = run / KEPT / kept_name(task.recipe, step)
    task.config = whole.model_copy(update={"name": folder.name, "recipe": whole.recipe | {KEPT_AT: step}})
    try:
        task.save(network, folder)
    except (OSError, CheckpointError) as error:
        raise RecipeError(
            f"{folder} cannot be written ({error}): the last state is whole; make room, or leave out --keep-every, and "
            f"the same command goes on from there"
        ) from error
    finally:
        task.config = whole
