"""How long the missing cells of an experiment will take, by a few steps of each kind of training."""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from training.data.augment import Augment
from training.data.training_set import as_floats
from training.utility.arms import ARMS, REFERENCE
from training.utility.classifier import train_classifier
from training.utility.experiment import Grid
from training.utility.generator import ROUNDS, SAMPLING, Generator, Semi, Shipped, train_denoiser
from training.utility.labeller import teach_labeller
from training.utility.pool import Pool
from training.utility.results import Cell
from training.utility.side_by_side import threads_of_a_worker, workers_for

TIMED_STEPS = 10
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

    choices = len(_choices(missing))
    workers = workers_for(choices)
    with threads_of_a_worker(workers):
        reader = train_classifier(draw, of_each_class, pool.config, options, seed=0)
        classifier_step = _of_a_step(lambda: train_classifier(draw, of_each_class, pool.config, options, seed=0))
        labeller_step = _of_a_step(
            lambda: teach_labeller(reader, draw, few.rows, augment, of_each_class, pool.config, options, seed=0)
        )
        tuning_step = generator_step()

    needs_labeller = {generator.key for generator in generators if generator.needs_labeller}
    labelled = _choices(cell for cell in missing if cell.generator in needs_labeller or ARMS[cell.arm].unlabelled)
    reading = _choices(cell for cell in missing if cell.generator or ARMS[cell.arm].unlabelled)
    trained_again = reading - _choices(cell for cell in missing if cell.arm == REFERENCE)
    classifiers = sum(not ARMS[cell.arm].unlabelled for cell in missing) + len(trained_again)
    steps, samples, before = 0, 0, 0.0
    for generator in generators:
        taught = _choices(cell for cell in missing if cell.generator == generator.key)
        rounds = ROUNDS if grid.confidence else 1  # at most: only what is misread is drawn again
        samples += rounds * sum(rows * max(grid.ratios) * pool.classes for rows, _ in taught)
        if not isinstance(generator, Shipped):
            steps += len(taught) * grid.generator.steps
        if isinstance(generator, Semi) and taught and not generator.is_pretrained(pool):
            before += grid.generator.pretraining_steps * generator_step()  # alone, with all threads
    evaluation = tuning_step / grid.generator.batch_size / 3  # a step goes forward once, and back for twice as long
    of_classifiers = grid.classifier.steps * (classifiers * classifier_step + len(labelled) * labeller_step)
    of_all = of_classifiers + steps * tuning_step + samples * EVALUATIONS * evaluation
    return before + of_all / choices * math.ceil(choices / workers)


def _of_a_step(train: Callable[[], object]) -> float:
    """Seconds, of a training that takes TIMED_STEPS."""
    start = time.monotonic()
    train()
    return (time.monotonic() - start) / TIMED_STEPS


def _choices(cells: Iterable[Cell]) -> set[tuple[int, int]]:
    return {(cell.rows, cell.choice) for cell in cells}
