"""All cells of the experiment, in an order in which each needs only what came before."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from training.data.augment import Augment
from training.data.training_set import DataError, Examples
from training.utility.arms import ARMS, LABELLER, REFERENCE, Arm, draw_of
from training.utility.classifier import (
    ClassifierOptions,
    Draw,
    probabilities,
    score,
    train_classifier,
)
from training.utility.copies import nearness
from training.utility.generator import (
    PRETRAINING_VERSION,
    SEEDS_OF_A_ROUND,
    Generator,
    Known,
    generated_rows,
)
from training.utility.generator_training import NETWORKS, SAMPLING, GeneratorOptions, precision_of
from training.utility.labeller import ROWS_PER_LABELLED, SURE, teach_labeller
from training.utility.pool import Pool
from training.utility.results import Cell, Found, Results, Taught
from training.utility.side_by_side import side_by_side

IN_CELLS = {"rows", "ratios", "choices"}  # the fields of a grid by which its cells differ
VERSION = 2  # of how cells are measured: a new number makes them be measured again


@dataclass(frozen=True)
class Grid:
    """rows: labelled rows of each class; ratios: generated rows for each of them; choices: of which rows are labelled

    confidence  with which a sample must be read as asked; 0 keeps all
    """

    generator: GeneratorOptions
    rows: tuple[int, ...] = (20,)
    ratios: tuple[int, ...] = (5,)
    choices: int = 5
    confidence: float = 0.0
    classifier: ClassifierOptions = field(default_factory=ClassifierOptions)

    def cells(self, pool: Pool, generators: Sequence[Generator]) -> Iterator[Cell]:
        """Of `shown_arms`; twice the real rows only where every class has so many."""
        fewest, _ = pool.fewest()
        arms = shown_arms(generators)
        for rows in self.rows:
            for choice in range(self.choices):
                for name, arm in arms.items():
                    if not arm.generated and (not arm.more or 2 * rows <= fewest):
                        yield Cell(rows, choice, name)
                for generator in generators:
                    for ratio in self.ratios:
                        for name, arm in arms.items():
                            if arm.generated:
                                yield Cell(rows, choice, name, generator.key, ratio)

    def identity(self, pool: Pool) -> dict[str, Any]:
        """What results depend on besides their cells: all options that no cell names, and what has no option."""
        return {key: value for key, value in asdict(self).items() if key not in IN_CELLS} | {
            "version": VERSION,
            "data": pool.fingerprint,
            "config": pool.config.model_dump(mode="json"),
            "labeller": {"rows_per_labelled": ROWS_PER_LABELLED, "sure": SURE},
            "network": NETWORKS[pool.config.kind].model_dump(mode="json"),
            "sampling": SAMPLING.model_dump(mode="json"),
            "pretraining": PRETRAINING_VERSION,
            "precision": precision_of(pool.config),
        }


def shown_arms(generators: Sequence[Generator]) -> dict[str, Arm]:
    """The arms of an experiment with these generators: unlabelled rows are for those that need a labeller."""
    labelled = any(generator.needs_labeller for generator in generators)
    return {name: arm for name, arm in ARMS.items() if labelled or not arm.unlabelled}


def tasks_of(cells: Iterable[Cell], generators: Sequence[Generator]) -> list[list[Cell]]:
    """Cells that share their choice of rows and their generator: the tasks that can be done side by side.

    Classifiers that a labeller needs go with its generator. Other cells without generated rows go with a generator that
    has no labeller, if there is one. The tasks of labellers come first: they take longest, and at the end the short
    ones leave no core idle for long.
    """
    labelled = next((generator for generator in generators if generator.needs_labeller), generators[0]).key
    plain = next((generator for generator in generators if not generator.needs_labeller), generators[0]).key
    tasks: dict[tuple[int, int, str], list[Cell]] = {}
    for cell in cells:
        home = labelled if cell.arm in (REFERENCE, LABELLER) else plain
        tasks.setdefault((cell.rows, cell.choice, cell.generator or home), []).append(cell)
    return [tasks[key] for key in sorted(tasks, key=lambda key: key[2] != labelled)]


def check(grid: Grid, pool: Pool) -> None:
    """Raises DataError where a class has fewer rows than are to be chosen, or where samples would share seeds."""
    fewest, name = pool.fewest()
    if max(grid.rows) > fewest:
        raise DataError(
            f"{pool.config.dataset}: class {name} has {fewest} rows to choose from, and {max(grid.rows)} are asked "
            f"for: give --rows of at most {fewest}"
        )
    if (samples := max(grid.rows) * max(grid.ratios) * pool.classes) > SEEDS_OF_A_ROUND:
        raise DataError(
            f"{samples:,} rows would be generated at a time: give a --ratio for at most {SEEDS_OF_A_ROUND:,}"
        )


class Experiment:
    """augment: the classical augmentation; done: called after each cell that was measured"""

    def __init__(self, grid: Grid, pool: Pool, generators: Sequence[Generator], augment: Augment, results: Results):
        check(grid, pool)
        self._grid, self._pool, self._augment, self._results = grid, pool, augment, results
        self._generators = {generator.key: generator for generator in generators}

    @property
    def missing(self) -> list[Cell]:
        """The cells that are not measured yet."""
        cells = self._grid.cells(self._pool, list(self._generators.values()))
        return [cell for cell in cells if cell not in self._results.cells]

    def run(self, done: Callable[[Cell], object] = lambda cell: None) -> None:
        """Measure what is missing: the tasks side by side."""
        cells = self.missing
        for generator in dict.fromkeys(cell.generator for cell in cells if cell.generator):
            self._generators[generator].prepare(self._pool)
        tasks = tasks_of(cells, list(self._generators.values()))
        with closing(side_by_side([partial(self._measured, task) for task in tasks])) as measured:
            for key, found in measured:
                self._results.put(key, found)
                if isinstance(key, Cell):
                    done(key)

    def _measured(self, cells: Sequence[Cell]) -> Iterator[Found]:
        """What is found in the cells of one task."""
        rows, choice = cells[0].rows, cells[0].choice
        pool, chosen = self._pool, self._pool.chosen(rows, choice)

        @cache
        def of_arm(arm: str) -> nn.Module:
            """The classifier of an arm without generated rows."""
            if ARMS[arm].unlabelled:
                return self._labeller(of_arm(REFERENCE), chosen, choice)
            return self._trained(arm, pool.chosen(2 * rows, choice) if ARMS[arm].more else chosen, None, choice)

        for cell in cells:
            if not cell.generator:
                yield cell, score(of_arm(cell.arm), pool.config, pool.test)
        for key in {cell.generator: None for cell in cells if cell.generator}:
            reading_arm = LABELLER if self._generators[key].needs_labeller else REFERENCE
            known = Known(pool, chosen, choice + 1, self._reader(partial(of_arm, reading_arm)))  # 0: before labels
            most = max(cell.ratio for cell in cells if cell.generator == key)
            sampler = self._generators[key].taught(known)
            generated = generated_rows(sampler, known, rows * most, self._grid.confidence)
            distances = nearness(generated, known.labelled.rows, pool.test, pool.config)
            yield Taught(rows, choice, key), replace(distances, ratio=most)
            for cell in cells:
                if cell.generator == key:
                    part = generated.at(torch.arange(rows * cell.ratio * pool.classes))
                    yield cell, score(self._trained(cell.arm, chosen, part, choice), pool.config, pool.test)

    def _trained(self, arm: str, chosen: Tensor, generated: Examples | None, seed: int) -> nn.Module:
        pool, draw = self._pool, self._draw(arm, chosen, generated)
        return train_classifier(draw, pool.validation, pool.config, self._grid.classifier, seed)

    def _labeller(self, reader: nn.Module, chosen: Tensor, seed: int) -> nn.Module:
        pool, draw, options = self._pool, self._draw(LABELLER, chosen, None), self._grid.classifier
        return teach_labeller(reader, draw, pool.seen, self._augment, pool.validation, pool.config, options, seed)

    def _draw(self, arm: str, chosen: Tensor, generated: Examples | None) -> Draw:
        return draw_of(ARMS[arm], self._pool.train.at(chosen), generated, self._augment)

    def _reader(self, classifier: Callable[[], nn.Module]) -> Callable[[Tensor], Tensor]:
        """It is trained only where something is read: most generators read nothing."""
        return lambda rows: probabilities(classifier(), self._pool.config, rows)
