"""The rows of a few-step student's card: what it learned of its teacher, and what `quality` takes of it."""

from collections.abc import Mapping, Set
from typing import Any

from model.checkpoints.distilled import STEPS, DistilledConfig
from model.checkpoints.few_step_quality import NEEDED, TOLERANCE, fewest_steps, is_comparable
from training.card.markdown import listed


def few_step_rows(student: DistilledConfig, metrics: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """`metrics` are the card's; the teacher's have a column under its name."""
    return [_distilled(student), quality_row(student.teacher, metrics, NEEDED)]


def _distilled(student: DistilledConfig) -> str:
    low, high = student.guidance_range
    interval = student.guidance_interval
    where = "" if interval is None else f" at noise levels σ {interval[0]:g} … {interval[1]:g}"
    return (
        f"| distilled | from {student.teacher}, guided at scales {low:g} … {high:g}{where}: one evaluation a step; "
        f"sampled by ddim in {listed([str(steps) for steps in STEPS])} steps only; "
        "a seed gives nearly its teacher's sample |"
    )


def quality_row(name: str, metrics: Mapping[str, Mapping[str, Any]], needed: Set[str]) -> str:
    """Which steps a request's `quality` takes, and by which comparison with the teacher of that name. `needed`: the
    metrics without which nothing is compared."""
    teacher, fixed = metrics.get(name), "| `quality` | `low` is 1 step, `medium` 2; "
    if teacher is None:
        return fixed + f"`auto` is {name}, as long as nothing has been compared |"
    if not is_comparable(teacher):
        return fixed + f"`auto` is {name}, whose card lacks what is compared: {listed(sorted(needed))} |"
    steps = fewest_steps(metrics, teacher)
    answer = f"{name}: no steps are" if steps is None else f"{steps} step{'s' * (steps > 1)}, the fewest"
    limits = ", ".join(f"{name.replace('_', ' ')} {TOLERANCE[name]:g}" for name in TOLERANCE if name in teacher)
    return fixed + f"`auto` is {answer} whose metrics are at most so much worse than the teacher's: {limits} |"
