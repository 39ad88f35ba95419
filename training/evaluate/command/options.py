"""The options of a measurement: settings, the number of rows, and the column of the card."""

from typing import TypedDict

from pydantic import ValidationError
from rich.console import Console

from model.checkpoints.base import Precision
from model.checkpoints.config import SamplingConfig, SamplingOverrides
from model.checkpoints.denoiser import DenoiserCheckpoint, DenoiserConfig
from model.conditions import Conditioning
from model.samplers import Sampler
from training.data.training_set import TrainingSet
from training.evaluate.point_evaluation import POINT_STEPS
from training.recipe import RecipeError

IMAGES, FEWEST_IMAGES = 10_000, 1_000
POINTS = 5_000
PROMPTS = 2_000

console = Console(stderr=True, highlight=False)  # standard output has the metrics, for other programs


class ChangedSettings(TypedDict, total=False):
    """Settings that a measurement takes instead of the card's."""

    sampler: Sampler
    steps: int
    guidance_scale: float


def options_of(
    checkpoint: DenoiserCheckpoint,
    changed: ChangedSettings,
    precision: Precision,
    overrides: SamplingOverrides | None = None,
) -> SamplingConfig:
    """The card's own settings; `overrides` of a guidance model's card replace these, `changed` replaces both. A changed
    scale holds at every noise level: the card's interval belongs to the card's scale.

    Raises RecipeError if the settings are impossible.
    """
    config = checkpoint.config
    sampling = config.sampling
    if config.data.kind == "points" and config.distilled is None:
        sampling = sampling.model_copy(update={"steps": min(POINT_STEPS, checkpoint.schedule.T)})
    if overrides is not None:
        sampling = overrides.applied_to(sampling)
    own = sampling.model_dump()
    if "guidance_scale" in changed:
        own["guidance_interval"] = None
    try:
        options = SamplingConfig.model_validate({**own, **changed})
    except ValidationError as error:
        raise RecipeError("; ".join(f"{e['loc'][0]}: {e['msg']}" for e in error.errors())) from error
    if options.steps > checkpoint.schedule.T:
        raise RecipeError(f"steps: at most T = {checkpoint.schedule.T}")
    if (refusal := config.sampling_refusal(options)) is not None:
        raise RecipeError(f"{refusal[0]}: for {config.name} {refusal[1]}")
    check_precision(config, precision)
    if precision == "int8" and checkpoint.int8_graph is None:
        raise RecipeError(f"precision: {config.name} has no graph in integers: `export {config.name} --int8` makes it")
    return options


def check_precision(config: DenoiserConfig, precision: Precision) -> None:
    """Raises RecipeError if such data are not measured in this precision."""
    if config.data.kind == "points" and precision != "float32":
        raise RecipeError("precision: points are measured and served in float32")


def count_of(config: DenoiserConfig, data: TrainingSet, conditioning: Conditioning | None = None) -> int:
    """How many samples are measured by default: of images as many as are held out, within bounds."""
    if config.data.kind == "points":
        return POINTS
    if (conditioning or config.conditioning) == "text":
        return min(PROMPTS, max(FEWEST_IMAGES, len(data.held_out)))
    return min(IMAGES, max(FEWEST_IMAGES, len(data.held_out)))


def announce(name: str, what: str) -> None:
    """Print what is measured: a measurement may take minutes."""
    console.print(f"evaluating {name}: {what} …", soft_wrap=True)
