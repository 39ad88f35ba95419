"""The real points that are kept in a checkpoint's folder, to look at its samples against."""

from model.reference import MAX_REFERENCE, Reference
from training.data.training_set import TrainingSet


def reference_of(data: TrainingSet) -> Reference:
    """Some of what was trained on, always the same; of a set without end, some of what is measured with."""
    real = (data.examples or data.held_out).some(MAX_REFERENCE)
    return Reference(real.rows.float(), real.labels)
