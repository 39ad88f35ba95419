"""A teacher's figures on its student's card: what `quality` "auto" compares a student with."""

from pathlib import Path

from torch import nn

from model.checkpoints.config import MEASURED, CheckpointConfig, load_config
from model.checkpoints.weights import CheckpointError
from training.evaluate.measurement import Metrics


def teacher_column(name: str, kind: type[CheckpointConfig[nn.Module]], checkpoints: Path) -> dict[str, Metrics]:
    """What the teacher's card has measured, as a column under its name. Nothing where the teacher is not there, or has
    not been measured."""
    try:
        measured = load_config(checkpoints / name, kind).metrics.get(MEASURED)
    except CheckpointError:
        return {}
    return {} if measured is None else {name: measured}
