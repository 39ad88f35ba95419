"""What `quality` means: which of a dataset's models answers, and in how many steps."""

from collections.abc import Mapping
from typing import Literal

from model.checkpoints.config import MEASURED
from model.checkpoints.few_step_quality import Columns, fewest_steps

Quality = Literal["low", "medium", "high", "auto"]

STEPS_OF: Mapping[Quality, int] = {"low": 1, "medium": 2}


def student_steps(quality: Quality, student: Columns, many_step: Columns) -> int | None:
    """The steps of the student that the quality means; None where the many-step model is meant.

    For "auto" they are the fewest whose figures on the card are nearly those of the many-step model: see `TOLERANCE`.
    """
    if quality == "high":
        return None
    if quality != "auto":
        return STEPS_OF[quality]
    return fewest_steps(student, many_step.get(MEASURED, {}))
