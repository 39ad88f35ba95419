"""Measure how long training takes on this device, by a few of its own steps."""

import time
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator

from training.evaluate.command.options import FEWEST_IMAGES, IMAGES, PROMPTS
from training.init.roles import DataSummary
from training.recipe import DenoiserRecipe, Recipe
from training.tasks.task import Task
from training.trainer import TrainStep

SECONDS = 4.0  # that the measurement takes at least
FIRST = 2  # steps that are not counted: they include the set-up
FEWEST, MOST = 3, 200  # steps that are counted
FORWARD = 1 / 3  # of a training step's time: the backward pass takes the rest
ALONE = 0.7  # share of the time: a thread that computes less has shared its core


@dataclass(frozen=True)
class Pace:
    """The pace of training.

    seconds  of a step, the median
    shared   whether other work ran on the CPU meanwhile
    """

    seconds: float
    shared: bool


def evaluation_seconds(recipe: Recipe, summary: DataSummary, pace: Pace) -> float:
    """About how long the samples of a denoiser of images will be measured; 0 for all others, which take seconds."""
    if not isinstance(recipe, DenoiserRecipe) or not summary.images:
        return 0.0
    most = IMAGES if recipe.text_from is None else PROMPTS
    samples = min(most, max(FEWEST_IMAGES, summary.held_out))
    guided = recipe.objective.conditional and recipe.sampling.guidance_scale not in (0, 1)
    evaluations = samples * recipe.sampling.steps * (2 if guided else 1)
    return FORWARD * pace.seconds * evaluations / recipe.optimisation.batch_size


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
