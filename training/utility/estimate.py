"""How long the missing cells of an experiment will take, by a few steps of each kind of training."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from heapq import heapreplace

import torch
from torch import Tensor

from training.data.augment import Augment
from training.data.training_set import as_floats
from training.utility.arms import ARMS, REFERENCE
from training.utility.classifier import train_classifier
from training.utility.experiment import Grid, tasks_of
from training.utility.generator import ROUNDS, Generator, Semi, Shipped
from training.utility.generator_training import SAMPLING, train_denoiser
from training.utility.labeller import teach_labeller
from training.utility.pool import Pool
from training.utility.results import Cell
from training.utility.side_by_side import threads_of_a_worker, workers_for

TIMED_STEPS = 10
TIMED_SAMPLES = 8  # of a checkpoint
EVALUATIONS = 2 * SAMPLING.steps  # of the network, for each sample: both halves of classifier-free guidance


def estimated_seconds(
    missing: Sequence[Cell], grid: Grid, pool: Pool, generators: Sequence[Generator], augment: Augment
) -> float:
    """Of a pool of which every class has a row."""
    of_each_class = pool.train.at(pool.chosen(1, 0))
    few = pool.train.some(grid.generator.batch_size)
    options = replace(grid.classifier, steps=TIMED_STEPS)

    def draw(rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return as_floats(few.rows[:rows]), few.labels[:rows]

    def generator_step() -> float:
        return _of_a_step(lambda: train_denoiser(few, pool.config, grid.generator, TIMED_STEPS, seed=0))

    tasks = tasks_of(missing, generators)
    workers = workers_for(len(tasks))
    with threads_of_a_worker(workers):
        reader = train_classifier(draw, of_each_class, pool.config, options, seed=0)
        classifier_step = _of_a_step(lambda: train_classifier(draw, of_each_class, pool.config, options, seed=0))
        labeller_step = _of_a_step(
            lambda: teach_labeller(reader, draw, few.rows, augment, of_each_class, pool.config, options, seed=0)
        )
        tuning_step = generator_step()
        of_shipped = {one.key: _of_a_sample(one, pool) for one in generators if isinstance(one, Shipped)}
    of_taught = EVALUATIONS * tuning_step / grid.generator.batch_size / 3  # a step goes back, too, for twice as long
    by_key = {generator.key: generator for generator in generators}
    wanted = [by_key[key] for key in dict.fromkeys(cell.generator for cell in missing if cell.generator)]

    def of_task(cells: Sequence[Cell]) -> float:
        teaches = next((by_key[cell.generator] for cell in cells if cell.generator), None)
        labels = any(ARMS[cell.arm].unlabelled for cell in cells) or bool(teaches and teaches.needs_labeller)
        reads = labels or bool(teaches and grid.confidence)
        classifiers = sum(not ARMS[cell.arm].unlabelled for cell in cells)
        if reads and all(cell.arm != REFERENCE for cell in cells):
            classifiers += 1  # this task has no score of the one that it reads with, or that its labeller begins with
        seconds = grid.classifier.steps * (classifiers * classifier_step + labels * labeller_step)
        if teaches:
            rounds = ROUNDS if grid.confidence else 1  # at most: only what is misread is drawn again
            samples = rounds * cells[0].rows * max(grid.ratios) * pool.classes
            seconds += samples * of_shipped.get(teaches.key, of_taught)
        if teaches and not isinstance(teaches, Shipped):
            seconds += grid.generator.steps * tuning_step
        return seconds

    before = 0.0
    if any(isinstance(generator, Semi) and not generator.is_pretrained(pool) for generator in wanted):
        before = grid.generator.pretraining_steps * generator_step()  # alone, with all threads
    busy = [before] * workers
    for task in tasks:  # each goes to the worker that is free first
        heapreplace(busy, busy[0] + of_task(task))
    return max(busy)


def _of_a_sample(generator: Shipped, pool: Pool) -> float:
    """Seconds, in a small batch."""
    start = time.monotonic()
    generator.sampler(torch.arange(TIMED_SAMPLES) % pool.classes, torch.arange(TIMED_SAMPLES))
    return (time.monotonic() - start) / TIMED_SAMPLES


def _of_a_step(train: Callable[[], object]) -> float:
    """Seconds, of a training that takes TIMED_STEPS."""
    start = time.monotonic()
    train()
    return (time.monotonic() - start) / TIMED_STEPS
