"""How fast weights move, step by step."""

import math
from collections.abc import Iterable

from torch.optim import Optimizer

from training.recipe import OptimisationSection


def learning_rate(options: OptimisationSection, step: int) -> float:
    """Of step number `step`, from 0 on: a linear warm-up, then a cosine from learning_rate down to
    final_learning_rate · learning_rate."""
    if step < options.warmup_steps:
        return options.learning_rate * (step + 1) / options.warmup_steps
    done = (step - options.warmup_steps) / (options.steps - options.warmup_steps)
    cosine = (1 + math.cos(math.pi * done)) / 2
    return options.learning_rate * (options.final_learning_rate + (1 - options.final_learning_rate) * cosine)


def step_all(optimisers: Iterable[Optimizer], options: OptimisationSection, step: int) -> None:
    """Let each optimiser take step number `step`, at the learning rate of that step."""
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(options, step)
        optimiser.step()
