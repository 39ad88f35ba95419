"""How long training takes here: a few of its own steps, timed."""

import time

import numpy as np
import torch
from accelerate import Accelerator

from training.trainer import Steps, Task

SECONDS = 4.0  # that are spent on measuring
FIRST = 2  # steps that are not counted: what is set up in them is set up once
FEWEST, MOST = 3, 200  # steps that are


def seconds_a_step(task: Task, accelerator: Accelerator) -> float:
    """The median over some steps of training. The task's network is changed by them."""
    steps = Steps(task, accelerator)
    took: list[float] = []
    began = time.monotonic()
    for number in range(FIRST + MOST):
        at = time.monotonic()
        steps.take(number)
        if accelerator.device.type == "cuda":
            torch.cuda.synchronize(accelerator.device)
        now = time.monotonic()
        if number >= FIRST:
            took.append(now - at)
        if len(took) >= FEWEST and now - began > SECONDS:
            break
    return float(np.median(took))
