"""Training curves in TensorBoard, Weights & Biases or trackio, besides a run's log.jsonl."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from accelerate import Accelerator

from training.recipe import Recipe, RecipeError

Tracker = Literal["none", "tensorboard", "wandb", "trackio"]

PROJECT = "spirale"
PACKAGES: Mapping[Tracker, Sequence[str]] = {
    "tensorboard": ("tensorboard", "tensorboardX"),
    "wandb": ("wandb",),
    "trackio": ("trackio",),
}
"""One of them writes for a tracker; none comes with Spirale."""


def tracking_accelerator(runs: Path, tracker: Tracker) -> Accelerator:
    """The accelerator of a training, which knows the tracker. Raises RecipeError where its package is missing.

    runs  the folder of all runs, where TensorBoard finds each by its name
    """
    if tracker != "none" and not any(find_spec(package) for package in PACKAGES[tracker]):
        raise RecipeError(f"--log-with {tracker} needs a package: pip install {PACKAGES[tracker][0]}")
    # A recipe says in which precision it is trained: `accelerate launch` must not.
    return Accelerator(mixed_precision="no", log_with=None if tracker == "none" else tracker, project_dir=runs)


@contextmanager
def tracked(accelerator: Accelerator, recipe: Recipe, tracker: Tracker) -> Iterator[None]:
    """Inside, `accelerator.log` reaches the tracker, from the main process. Begin once the run's folder is there."""
    if tracker == "tensorboard":  # writes into the run's folder
        accelerator.init_trackers(recipe.name)
    elif tracker != "none":
        config = recipe.model_dump(mode="json")
        accelerator.init_trackers(PROJECT, config=config, init_kwargs={tracker: {"name": recipe.name}})
    try:
        yield
    finally:
        for one in accelerator.trackers:
            one.finish()
