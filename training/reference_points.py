"""Real points in a checkpoint's folder, which the playground shows beside its samples."""

from pathlib import Path

from model.checkpoints.config import load_config, read_role
from model.checkpoints.denoiser import DenoiserConfig
from model.checkpoints.reference_points import MAX_REFERENCE, REFERENCE, Reference, save_reference
from model.checkpoints.weights import CheckpointError
from training.data import trained_on
from training.data.training_set import TrainingSet
from training.recipe import RecipeError


def reference_of(data: TrainingSet) -> Reference:
    """At most MAX_REFERENCE training points, always the same ones; held-out points of a set without end."""
    real = (data.examples or data.held_out).some(MAX_REFERENCE)
    return Reference(real.rows, real.labels)


def keeps_reference_by_default(folder: Path, data: TrainingSet) -> bool:
    """Does a new checkpoint get reference points? Own data may be private, so they need an explicit request first."""
    return data.config.kind == "points" and (data.examples is None or (folder / REFERENCE).is_file())


def keep_reference(folder: Path) -> int:
    """Save reference points into a checkpoint's folder, and return their number.

    Raises RecipeError if it is no denoiser of points, DataError if its data are missing.
    """
    try:
        config = load_config(folder, DenoiserConfig) if read_role(folder) == "denoiser" else None
    except CheckpointError as error:
        raise RecipeError(str(error)) from error
    if config is None or config.data.kind != "points":
        raise RecipeError(f"{folder.name} is no denoiser of points: only these have reference points")
    reference = reference_of(trained_on(config))
    save_reference(folder, reference)
    return len(reference.labels)
