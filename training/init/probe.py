"""How long training takes here: a few of its own steps, timed."""

import time
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator

from training.tasks.task import Task
from training.trainer import TrainStep

SECONDS = 4.0  # that are spent on measuring
FIRST = 2  # steps that are not counted: what is set up in them is set up once
FEWEST, MOST = 3, 200  # steps that are
ALONE = 0.7  # of the time: a thread that computes less has shared its core


@dataclass(frozen=True)
class Pace:
    """seconds: a step's, the median. shared: whether something else was computing here meanwhile."""

    seconds: float
    shared: bool


def measure_pace(task: Task, accelerator: Accelerator) -> Pace:
    """Some steps of training. The task's network is changed by them."""
    steps = TrainStep(task, accelerator)
    on_cpu = accelerator.device.type == "cpu"
    took: list[float] = []
    began, computed = time.monotonic(), time.thread_time()
    for number in range(FIRST + MOST):
        at = time.monotonic()
        steps.take(number)
        if not on_cpu:
            torch.accelerator.synchronize(accelerator.device)
        now = time.monotonic()
        if number >= FIRST:
            took.append(now - at)
        if len(took) >= FEWEST and now - began > SECONDS:
            break
    share = (time.thread_time() - computed) / (time.monotonic() - began)
    return Pace(float(np.median(took)), shared=on_cpu and share < ALONE)
