"""What a measurement is asked for: settings, how many rows, and the column of the card that it goes into."""

from typing import Any

from pydantic import ValidationError
from rich.console import Console

from model.checkpoints.base import Precision
from model.checkpoints.config import SamplingConfig
from model.checkpoints.denoiser import DenoiserCheckpoint, DenoiserConfig
from model.conditions import Conditioning
from training.data.training_set import TrainingSet
from training.evaluate.point_evaluation import POINT_STEPS
from training.recipe import RecipeError

IMAGES, FEWEST_IMAGES = 10_000, 1_000
POINTS = 5_000
PROMPTS = 2_000
MEASURED = "measured"  # the column of the card at its own settings, in float32

console = Console(stderr=True, highlight=False)  # beside the figures, which others may read from standard output


def options_of(checkpoint: DenoiserCheckpoint, changed: dict[str, Any], precision: Precision) -> SamplingConfig:
    """The card's own settings but for what is changed. Raises RecipeError where they cannot be."""
    config = checkpoint.config
    own = config.sampling.model_dump()
    if config.data.kind == "points":
        own["steps"] = min(POINT_STEPS, checkpoint.schedule.T)
    try:
        options = SamplingConfig(**(own | changed))
    except ValidationError as error:
        raise RecipeError("; ".join(f"{e['loc'][0]}: {e['msg']}" for e in error.errors())) from error
    if options.steps > checkpoint.schedule.T:
        raise RecipeError(f"steps: at most T = {checkpoint.schedule.T}")
    check_precision(config, precision)
    return options


def check_precision(config: DenoiserConfig, precision: Precision) -> None:
    """Raises RecipeError where its data is not measured in that."""
    if config.data.kind == "points" and precision != "float32":
        raise RecipeError("precision: points are measured and served in float32")


def count_of(config: DenoiserConfig, data: TrainingSet, conditioning: Conditioning | None = None) -> int:
    """How many samples are measured, unless it is said: of images as many as are held out, as far as that is enough and
    not too many."""
    if config.data.kind == "points":
        return POINTS
    if (conditioning or config.conditioning) == "text":
        return min(PROMPTS, max(FEWEST_IMAGES, len(data.held_out)))
    return min(IMAGES, max(FEWEST_IMAGES, len(data.held_out)))


def announce(name: str, what: str) -> None:
    """It may take minutes."""
    console.print(f"evaluating {name}: {what} …", soft_wrap=True)
