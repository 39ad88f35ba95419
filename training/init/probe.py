"""Measure how long training takes on this device, by a few of its own steps."""

import time
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator, PartialState

from model.checkpoints.distilled import STEPS as FEW_STEPS
from training.evaluate.command.options import FEWEST_IMAGES, IMAGES, PROMPTS
from training.init.roles import DataSummary
from training.recipe import DenoiserRecipe, DistillingRecipe, FlowMapRecipe, Recipe
from training.tasks.control_flow_map import ControlFlowMapTask
from training.tasks.flow_map import FlowMapTask
from training.tasks.task import Task
from training.tasks.trajectories import run_teacher
from training.trainer import TrainStep

SECONDS = 4.0  # that the measurement takes at least
FIRST = 2  # steps that are not counted: they include the set-up
FEWEST, MOST = 3, 200  # steps that are counted
FORWARD = 1 / 3  # of a training step's time: the backward pass takes the rest
PROBED_RUNS = 64  # of a teacher, that are timed
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
    if not isinstance(recipe, DenoiserRecipe | FlowMapRecipe) or not summary.images:
        return 0.0
    if isinstance(recipe, FlowMapRecipe):
        samples = min(IMAGES, max(FEWEST_IMAGES, summary.held_out))
        return FORWARD * pace.seconds * samples * sum(FEW_STEPS) / recipe.optimisation.batch_size
    most = IMAGES if recipe.text_from is None else PROMPTS
    samples = min(most, max(FEWEST_IMAGES, summary.held_out))
    guided = recipe.objective.conditional and recipe.sampling.guidance_scale not in (0, 1)
    evaluations = samples * recipe.sampling.steps * (2 if guided else 1)
    return FORWARD * pace.seconds * evaluations / recipe.optimisation.batch_size


def ready_at_once(recipe: Recipe) -> Recipe:
    """A recipe whose steps take as long, but that needs hardly anything computed before the first."""
    if not isinstance(recipe, DistillingRecipe):
        return recipe
    few = recipe.distillation.model_copy(update={"trajectories": PROBED_RUNS})
    return recipe.model_copy(update={"distillation": few})


def runs_seconds(recipe: Recipe, task: Task) -> float:
    """About how long the teacher of a student will run; 0 for all other recipes."""
    if not isinstance(recipe, DistillingRecipe) or not isinstance(task, FlowMapTask | ControlFlowMapTask):
        return 0.0
    began = time.monotonic()
    run_teacher(task.teacher, task.recipe.distillation, recipe.seed, PartialState().device)
    return (time.monotonic() - began) * recipe.distillation.trajectories / PROBED_RUNS


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
