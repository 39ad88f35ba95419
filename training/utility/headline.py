"""The answer in plain words. It holds however many settings were tried."""

from collections.abc import Sequence
from dataclasses import dataclass

from training.utility.paired import Difference, paired


@dataclass(frozen=True)
class Setting:
    """What was measured with so many labelled rows of each class, and so many generated ones for each of them.

    generator         its name
    differences       of balanced accuracies, a number for each choice of rows: with generated rows less without
    against_labeller  likewise, less those of the classifier that labels the rows of a generator; empty without one
    """

    rows: int
    generator: str
    ratio: int
    differences: Sequence[float]
    against_labeller: Sequence[float] = ()


def headline(settings: Sequence[Setting], resolution: float) -> str:
    """The clearest gain; without one, the largest mean. No setting helped only if all intervals lie below 0.

    resolution  of the accuracies: see `paired`
    """
    if not settings:
        return "Nothing has been measured yet."
    intervals = intervals_of(settings)
    found = [(paired(one.differences, resolution, intervals), one) for one in settings]
    raised = [(difference, one) for difference, one in found if difference.above_zero]
    if raised:
        difference, setting = max(raised, key=lambda one: one[0].mean - one[0].half)
    else:
        difference, setting = max(found, key=lambda one: one[0].mean)
    where = f"at {setting.rows} labels a class ({setting.generator} generator, {for_each(setting.ratio)})"
    change = f"balanced accuracy by {points(difference)} points {where}"
    several = len(settings) > 1
    best = f"the best of {len(settings)} settings"
    if raised:
        answer = f"Adding generated data raised {change}{f': {best}' * several}."
    elif all(difference.below_zero for difference, _ in found):
        answer = f"Adding generated data did not help: {best if several else 'it'} changed {change}."
    else:
        answer = f"It is not shown that generated data help: {best if several else 'adding them'} changed {change}."
    if not setting.against_labeller:
        return answer
    rival = paired(setting.against_labeller, resolution, intervals)
    return f"{answer} Against the unlabelled rows without a generator that is {points(rival)} points."


def intervals_of(settings: Sequence[Setting]) -> int:
    """How many the answer is chosen from: all of them hold together."""
    return sum(2 if one.against_labeller else 1 for one in settings)


def for_each(ratio: int) -> str:
    return f"{ratio} generated row{'s' if ratio > 1 else ''} for each real one"


def points(difference: Difference) -> str:
    return f"{100 * difference.mean:.1f} ± {100 * difference.half:.1f}"
