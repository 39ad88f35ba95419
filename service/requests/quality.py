"""What `quality` means: which of a dataset's models answers, and in how many steps."""

from collections.abc import Mapping
from typing import Any, Literal

from model.checkpoints.denoiser import DenoiserConfig
from model.checkpoints.distilled import STEPS

Quality = Literal["low", "medium", "high", "auto"]

STEPS_OF: Mapping[Quality, int] = {"low": 1, "medium": 2}
TOLERANCE: Mapping[str, float] = {"label_accuracy": 0.005, "precision": 0.02, "recall": 0.02}
"""By how much a student's figures may be below those of the many-step model for "auto" to choose it."""


def student_steps(quality: Quality, student: DenoiserConfig, many_step: DenoiserConfig) -> int | None:
    """The steps of the student that the quality means; None where the many-step model is meant.

    For "auto" they are the fewest whose figures on the card are within TOLERANCE of the many-step model's.
    """
    if quality == "high":
        return None
    if quality != "auto":
        return STEPS_OF[quality]
    needed = many_step.metrics.get("measured", {})
    for steps in STEPS:
        found = _measured(student, steps)
        if all(found.get(name, -1.0) >= needed.get(name, 1.0) - tolerance for name, tolerance in TOLERANCE.items()):
            return steps
    return None


def _measured(student: DenoiserConfig, steps: int) -> Mapping[str, Any]:
    """What the card says of so many steps; nothing where they were not measured."""
    columns: Mapping[str, Mapping[str, Any]] = student.metrics
    return next((one for one in columns.values() if one.get("steps") == steps and "label_accuracy" in one), {})
