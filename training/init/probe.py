"""Measure how long training takes on this device, by a few of its own steps."""

import time
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator

from training.tasks.task import Task
from training.trainer import TrainStep

SECONDS = 4.0  # that the measurement takes at least
FIRST = 2  # steps that are not counted: they include the set-up
FEWEST, MOST = 3, 200  # steps that are counted
ALONE = 0.7  # share of the time: a thread that computes less has shared its core


@dataclass(frozen=True)
class Pace:
    """The pace of training.

    seconds  of a step, the median
    shared   whether other work ran on the CPU meanwhile
    """

    seconds: float
    shared: bool


def measure_pace(task: Task, accelerator: Accelerator) -> Pace:
    """Time some steps of training; they change the task's network."""
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
