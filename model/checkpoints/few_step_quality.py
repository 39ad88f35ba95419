"""How near a few-step student is to the many-step model, by what their cards have measured."""

from collections.abc import Mapping
from typing import Any

from model.checkpoints.config import MEASURED
from model.checkpoints.distilled import STEPS

TOLERANCE: Mapping[str, float] = {
    "label_accuracy": 0.005, "precision": 0.02, "recall": 0.02, "sliced_wasserstein_ratio": 0.5, "far_off_curve": 0.0,
    "label_accuracy_alone": 0.005, "agreement": 0.02, "agreement_alone": 0.02,
}  # fmt: skip
"""By how much a student's figures may be worse, of those that the many-step model's card has. No distance sees a few
points between the arms of a spiral, and everybody who looks does: there may be none more."""
LESS_IS_BETTER = {"sliced_wasserstein_ratio", "far_off_curve"}
NEEDED = {"precision", "recall"}  # without these nothing is known of a denoiser: noise has labels too
NEEDED_OF_CONTROLNETS = {"agreement"}

Columns = Mapping[str, Mapping[str, Any]]
"""Metrics of a card, by the name of the measurement."""


def in_steps(steps: int) -> str:
    """The column of a student in another number of steps than its card advises."""
    return f"in {steps} step" + ("s" if steps > 1 else "")


def fewest_steps(student: Columns, many_step: Mapping[str, Any]) -> int | None:
    """The least number of steps whose figures are within TOLERANCE of the many-step model's; None where none is, or it
    has not been measured."""
    if not is_comparable(many_step):
        return None
    needed = _numbers(many_step)
    compared = TOLERANCE.keys() & needed.keys()
    for steps in STEPS:
        found = _numbers(measured_in(student, steps))
        if all(name in found and _within(name, found[name], needed[name]) for name in compared):
            return steps
    return None


def is_comparable(many_step: Mapping[str, Any]) -> bool:
    """Has the many-step model's card, or its ControlNet's, what a student is compared by?"""
    return any(_numbers(many_step).keys() >= needed for needed in (NEEDED, NEEDED_OF_CONTROLNETS))


def measured_in(student: Columns, steps: int) -> Mapping[str, Any]:
    """The figures of so many steps; nothing where they were not measured."""
    own = student.get(MEASURED, {})
    return own if own.get("steps") == steps else student.get(in_steps(steps), {})


def _numbers(figures: Mapping[str, Any]) -> Mapping[str, float]:
    """Those that are numbers: a card may be written by hand, and anything else was not measured."""
    return {name: figure for name, figure in figures.items() if isinstance(figure, int | float)}


def _within(name: str, found: float, needed: float) -> bool:
    worse = found - needed if name in LESS_IS_BETTER else needed - found
    return worse <= TOLERANCE[name]
