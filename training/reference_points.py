"""The real points that are kept in a checkpoint's folder, to look at its samples against."""

from pathlib import Path

from model.checkpoints.config import load_config, read_role
from model.checkpoints.denoiser import DenoiserConfig
from model.checkpoints.reference_points import MAX_REFERENCE, REFERENCE, Reference, save_reference
from model.checkpoints.weights import CheckpointError
from training.data import trained_on
from training.data.training_set import TrainingSet
from training.recipe import RecipeError


def reference_of(data: TrainingSet) -> Reference:
    """Some of what was trained on, always the same; of a set without end, some of what is measured with."""
    real = (data.examples or data.held_out).some(MAX_REFERENCE)
    return Reference(real.rows.float(), real.labels)


def keeps_reference_by_default(folder: Path, data: TrainingSet) -> bool:
    """Somebody's own rows may be nobody else's business: they are kept where they were asked for once."""
    return data.config.kind == "points" and (data.examples is None or (folder / REFERENCE).is_file())


def keep_reference(folder: Path) -> int:
    """Keep some of what a checkpoint was trained on beside it, and say how many.

    Raises RecipeError where it is no denoiser of points, DataError where its data are not there.
    """
    try:
        if read_role(folder) != "denoiser" or (config := load_config(folder, DenoiserConfig)).data.kind != "points":
            raise RecipeError(f"{folder.name} is no denoiser of points: only those are shown over real ones")
    except CheckpointError as error:
        raise RecipeError(str(error)) from error
    reference = reference_of(trained_on(config))
    save_reference(folder, reference)
    return len(reference.labels)
