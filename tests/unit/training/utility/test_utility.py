"""The experiment tells generators that help from those that do not, and its statistics are the textbook's."""

import json
import os
import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from itertools import chain, pairwise
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from typer.testing import CliRunner

from model.checkpoints.denoiser import DenoiserCheckpoint
from model.data import DataConfig
from model.noise import MAX_SEED
from tests.folders import make_folder, make_table
from tests.tiny import POINTS, tiny_checkpoint
from training.__main__ import app
from training.data.augment import Augment, point_augmentation
from training.data.synthetic_points import GaussianMixture, Spiral
from training.data.training_set import DataError, Examples, FiniteSet, unchanged
from training.lock import held_alone
from training.utility import experiment as experiments
from training.utility.arms import ARMS, draw_of
from training.utility.classifier import ClassifierOptions, Score, score, train_classifier
from training.utility.copies import Nearness
from training.utility.estimate import estimated_seconds
from training.utility.experiment import Experiment, Grid, check, shown_arms, tasks_of
from training.utility.generator import (
    ROUNDS,
    SEEDS_OF_A_CHOICE,
    SEEDS_OF_A_ROUND,
    Known,
    Sampler,
    Semi,
    Shipped,
    generated_rows,
)
from training.utility.generator_training import USUAL_OPTIONS, train_denoiser
from training.utility.labeller import teach_labeller
from training.utility.paired import paired, worth
from training.utility.pool import Pool, pool_of
from training.utility.report import UtilityReport, _worth
from training.utility.results import Cell, Results, Taught

DIMENSIONS = 10  # of which eight tell nothing: few rows mislead
MEANS = torch.cat([torch.tensor([[-1.0, 0.0], [1.0, 0.0], [0.0, 1.5]]), torch.zeros(3, DIMENSIONS - 2)], 1)
CONFIG = DataConfig(dataset="three", kind="points", shape=(DIMENSIONS,), labels=("a", "b", "c"))
CLASSIFIER = ClassifierOptions(steps=60, check_every=20, width=8)


def points(labels: Tensor, seed: int) -> Tensor:
    """Of the true distribution: normal around the class's mean."""
    return MEANS[labels] + 0.6 * torch.randn(len(labels), DIMENSIONS, generator=torch.Generator().manual_seed(seed))


def drawn(labels: Tensor, seeds: Tensor) -> Tensor:
    """The same, each by its own seed, as a generator makes them."""
    return torch.cat([points(label[None], seed) for label, seed in zip(labels, seeds.tolist(), strict=True)])


def examples(rows: int, seed: int) -> Examples:
    labels = torch.arange(rows) % 3
    return Examples(points(labels, seed), labels)


@pytest.fixture(scope="module")
def pool() -> Pool:
    return pool_of(FiniteSet(CONFIG, examples(600, 0), examples(900, 1)))


class Stub:
    said = "a stub"
    doubt = ""

    def __init__(self, name: str, sampler: Sampler, needs_labeller: bool = False):
        self.name = self.key = name
        self._sampler, self.needs_labeller = sampler, needs_labeller
        self.prepared = 0
        self.readers: dict[int, Callable[[Tensor], Tensor]] = {}  # by what differs between choices

    def prepare(self, pool: Pool) -> None:
        self.prepared += 1

    def taught(self, known: Known) -> Sampler:
        assert self.prepared == 1
        self.readers[known.seed] = known.reader
        return self._sampler


def truth(needs_labeller: bool = False) -> Stub:
    return Stub("truth", drawn, needs_labeller)


def lies() -> Stub:
    return Stub("lies", lambda labels, seeds: drawn((labels + 1) % 3, seeds))


def experiment(pool: Pool, path: Path, *generators: Stub, **grid: object) -> tuple[Experiment, UtilityReport, Results]:
    made = replace(Grid(USUAL_OPTIONS["points"], (2,), (20,), choices=5, classifier=CLASSIFIER), **grid)
    results = Results(path / "r.json", made.identity(pool))
    return (
        Experiment(made, pool, generators, unchanged, results),
        UtilityReport(made, pool, generators, results, ["three"]),
        results,
    )


def test_samples_of_the_truth_help_and_samples_with_wrong_labels_harm(pool, tmp_path):
    run, report, _ = experiment(pool, tmp_path, truth(), lies(), choices=12)
    run.run()
    helped, harmed = (report._difference(name, 20, 2) for name in ("truth", "lies"))
    assert helped.above_zero and harmed.below_zero
    assert report.answer().startswith("Adding generated data raised balanced accuracy by ")
    page = report.write(tmp_path, "three").read_text()
    assert report.answer() in page and (tmp_path / "three.png").is_file()
    assert f"{100 * helped.mean:.1f} ± {100 * helped.half:.1f}" in page
    command = "python -m training utility three --rows 2 --ratio 20 --choices "
    assert command in page and f" --classifier-steps {CLASSIFIER.steps}`" in page and "--confidence" not in page


def test_what_does_not_help_is_said(pool, tmp_path):
    _, report, results = experiment(pool, tmp_path, lies(), choices=3)
    assert report.answer() == "Nothing has been measured yet."
    for choice, change in enumerate((0.03, -0.01, 0.01)):  # 0.01 ± 0.05
        results.put(Cell(2, choice, "augmented"), Score((0.5,) * 3))
        results.put(Cell(2, choice, "both", "lies", 20), Score((0.5 + change,) * 3))
    assert report.answer() == (
        "It is not shown that generated data help: adding them changed balanced accuracy by 1.0 ± 5.0 points at 2 "
        "labels a class (lies generator, 20 generated rows for each real one)."
    )
    assert "Bonferroni" not in report.write(tmp_path, "three").read_text()
    semi = Stub("lies", drawn, needs_labeller=True)
    _, report, results = experiment(pool, tmp_path, semi, choices=3)
    for choice, change in enumerate((0.04, 0.0, 0.02)):
        results.put(Cell(2, choice, "unlabelled"), Score((0.5 + change,) * 3))
    assert report.answer().endswith(
        "for each real one). Against the unlabelled rows without a generator that is -1.0 ± 0.4 points."  # one row
    )
    for choice in range(3):
        results.put(Cell(2, choice, "both", "lies", 20), Score((0.4,) * 3))
    assert report.answer().startswith("Adding generated data did not help: it changed balanced accuracy by -10.0")


def test_the_best_of_several_settings_and_choices_with_rows_in_common_are_said(pool, tmp_path):
    _, report, results = experiment(pool, tmp_path, lies(), choices=2, rows=(2, 100))
    for rows in (2, 100):
        for choice in range(2):
            results.put(Cell(rows, choice, "augmented"), Score((0.5,) * 3))
            results.put(Cell(rows, choice, "both", "lies", 20), Score((0.5 + 0.6 / rows,) * 3))
    assert "Adding generated data raised" in report.answer() and report.answer().endswith(": the best of 2 settings.")
    page = report.write(tmp_path, "three").read_text()
    assert "by Bonferroni's inequality: all 2 that it is chosen from hold together with 95 %." in page
    there, name = pool.fewest()
    assert f"at 100 labels a class are too narrow**: class {name} has {there} rows" in page
    tested = torch.bincount(pool.test.labels)
    assert (
        f"Class {CONFIG.labels[tested.argmin()]} has {tested.min()} of them: one is {100 / 3 / tested.min():.2g}"
        in page
    )
    _, report, results = experiment(pool, tmp_path, lies(), choices=2, rows=(there // 2,))
    assert "too narrow" not in report.write(tmp_path, "three").read_text()


def test_copies_are_told_of_the_choices_on_the_page(pool, tmp_path):
    _, report, results = experiment(pool, tmp_path, lies(), choices=2)
    for choice, nearer in enumerate((0.1, 0.2, 0.9)):  # the third was kept by `--choices 3`
        results.put(Taught(2, choice, "lies"), Nearness(0.5, 0.25, nearer, 0.015))
    assert "| lies | 2 | 0.500 | 0.250 | 15.0% | 1.5% |" in report.write(tmp_path, "three").read_text()
    _, _, again = experiment(pool, tmp_path, lies(), choices=2)
    assert again.nearness == results.nearness
    for choice in range(2):
        results.put(Taught(2, choice, "lies"), Nearness(0.5, 0.25, None, None))
    assert "| lies | 2 | 0.500 | 0.250 | – | – |" in report.write(tmp_path, "three").read_text()


def test_distances_of_more_samples_stay(pool, tmp_path):
    """A smaller ratio, asked for later, looks at fewer samples of the same generator."""
    _, _, results = experiment(pool, tmp_path, lies(), choices=2)
    for ratio, kept in ((0, 0), (5, 5), (1, 5), (20, 20)):  # 0: of a file that does not tell
        results.put(Taught(2, 0, "lies"), Nearness(0.5, 0.25, None, None, ratio))
        assert results.nearness[Taught(2, 0, "lies")].ratio == kept


def test_a_smaller_ratio_leaves_the_distances_that_were_measured(pool, tmp_path):
    """Those of a file that does not tell how many samples there were, too, until there are new ones."""
    taught = Taught(2, 0, "lies")
    for ratios in ((9,), (1, 9)):
        run, _, results = experiment(pool, tmp_path, lies(), choices=1, ratios=ratios)
        run.run()
        assert results.nearness[taught].ratio == 9
    kept = json.loads((tmp_path / "r.json").read_text())
    del kept["taught"][0]["nearness"]["ratio"]
    (tmp_path / "r.json").write_text(json.dumps(kept))
    _, report, old = experiment(pool, tmp_path, lies(), choices=1, ratios=(1, 9))
    assert replace(old.nearness[taught], ratio=9) == results.nearness[taught]
    assert "| lies | 2 |" in report.write(tmp_path, "three").read_text()


def test_a_checkpoint_of_the_same_name_is_another_generator():
    first, trained_anew = tiny_checkpoint(POINTS), tiny_checkpoint(POINTS)
    with torch.no_grad():
        next(trained_anew.network.parameters()).add_(1)
    config = first.config.model_copy(update={"sampling": first.config.sampling.model_copy(update={"steps": 3})})
    keys = {Shipped(one, Spiral()).key for one in (first, trained_anew, replace(first, config=config))}
    assert len(keys) == 3 and Shipped(first, Spiral()).key == Shipped(tiny_checkpoint(POINTS), Spiral()).key


def trained_by(recipe: dict[str, object], dataset: str) -> DenoiserCheckpoint:
    checkpoint = tiny_checkpoint(POINTS)
    data = POINTS.model_copy(update={"dataset": dataset})
    return replace(checkpoint, config=checkpoint.config.model_copy(update={"data": data, "recipe": recipe}))


@pytest.mark.parametrize(
    "recipe, dataset, identity, known",
    [
        ({"data_identity": "a1"}, "own", "a1", True),
        ({"data": {"dataset": "own"}}, "own", "a1", False),  # as of cells-cfg: its data were not told apart yet
        ({"data_identity": "a1", "started_from": "before"}, "own", "a1", False),
        ({}, "own", "a1", False),
        ({"data": {"dataset": "spiral"}}, "spiral", "", True),
        ({"teacher": "spiral-cfg"}, "spiral", "", True),
        ({}, "spiral", "", False),  # imported
        ({"data": {"dataset": "gaussian"}}, "gaussian", "", False),
    ],
)
def test_a_checkpoint_that_may_have_learned_test_rows_is_told(tmp_path, pool, recipe, dataset, identity, known):
    data = FiniteSet(POINTS, pool.train, pool.test, identity=identity)
    stub = Stub("other", drawn)
    stub.doubt = Shipped(trained_by(recipe, dataset), data).doubt
    _, report, _ = experiment(pool, tmp_path, stub)
    page = report.write(tmp_path, "three").read_text()
    assert ("real rows that nothing has seen" in page) == known
    assert ("**spiral-tiny may have learned test rows: its config.json does not tell" in page) == (not known)


@pytest.mark.parametrize("identity", ["b2", ""])
def test_a_checkpoint_of_other_data_is_refused(pool, identity):
    data = FiniteSet(POINTS, pool.train, pool.test, identity=identity)
    with pytest.raises(DataError, match="spiral-tiny was trained on other data than spiral, or before they changed"):
        Shipped(trained_by({"data_identity": "a1"}, "own"), data)


@pytest.mark.parametrize("needs_labeller", [False, True])
def test_an_experiment_goes_on_where_it_was_stopped(pool, tmp_path, needs_labeller):
    class Stopped(Exception):
        pass

    def stop(cell: Cell) -> None:
        if cell == Cell(2, 1, "generated", "truth", 20):
            raise Stopped

    quick = {"choices": 2, "classifier": replace(CLASSIFIER, steps=4)}
    run, _, _ = experiment(pool, tmp_path, truth(needs_labeller), **quick)
    with pytest.raises(Stopped):
        run.run(stop)
    again = truth(needs_labeller)
    run, _, found = experiment(pool, tmp_path, again, **quick)
    assert Cell(2, 1, "both", "truth", 20) in run.missing and Cell(2, 1, "generated", "truth", 20) not in run.missing
    unfinished = {cell.choice for cell in run.missing}
    run.run()
    assert len(again.readers) == len(unfinished)
    whole, _, expected = experiment(pool, tmp_path / "whole", truth(needs_labeller), **quick)
    whole.run()
    assert found.cells == expected.cells and found.nearness == expected.nearness

    changed, _, _ = experiment(pool, tmp_path, truth(needs_labeller), confidence=0.5, **quick)
    assert len(changed.missing) == len(whole.missing) + len(expected.cells)  # other options: nothing is known


def test_results_are_forgotten_with_everything_that_no_cell_names(pool, monkeypatch):
    grid = Grid(USUAL_OPTIONS["points"])
    known = grid.identity(pool)
    assert replace(grid, rows=(1,), ratios=(1,), choices=2).identity(pool) == known
    others = [replace(grid, confidence=0.5), replace(grid, classifier=replace(grid.classifier, width=8))]
    others += [replace(grid, generator=replace(grid.generator, ema_decay=0.5))]
    found = [other.identity(pool) for other in others]
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("training.utility.experiment.precision_of", lambda data: "another")
        found.append(grid.identity(pool))
    config = CONFIG.model_copy(update={"std": (2.0,)})  # as where a recipe's `standardise` is another
    found.append(grid.identity(replace(pool, config=config)))
    for name, other in {
        "VERSION": 0,
        "PRETRAINING_VERSION": 0,
        "SAMPLING": experiments.SAMPLING.model_copy(update={"steps": 3}),
        "NETWORKS": {"points": experiments.NETWORKS["points"].model_copy(update={"width": 8})},
        "SURE": 0.5,
        "ROWS_PER_LABELLED": 1,
    }.items():
        with monkeypatch.context() as patch:
            patch.setattr(experiments, name, other)
            found.append(grid.identity(pool))
    assert all(one != known for one in found)


def test_no_two_rounds_or_choices_share_a_seed(pool):
    drawn: list[tuple[int, int]] = []

    def sampler(labels: Tensor, seeds: Tensor) -> Tensor:
        drawn.append((int(seeds.min()), int(seeds.max())))
        return torch.zeros(len(labels), DIMENSIONS)

    for choice in (1, 2, 1_000_000):
        known = Known(pool, pool.chosen(2, 0), choice, lambda rows: torch.full((len(rows), 3), 1 / 3))
        generated_rows(sampler, known, 400_000, confidence=0.9)
    assert len(drawn) == 3 * ROUNDS
    assert all(last < first for (_, last), (first, _) in pairwise(drawn)) and drawn[-1][1] <= MAX_SEED
    with pytest.raises(DataError, match="600,000,000 rows would be generated at a time: give a --ratio"):
        check(Grid(USUAL_OPTIONS["points"], (100,), (2_000_000,)), pool)
    assert ROUNDS * SEEDS_OF_A_ROUND < SEEDS_OF_A_CHOICE


def test_generators_of_different_choices_are_trained_differently(pool, tmp_path):
    """PyTorch's own generators read 32 bits of a seed."""
    stub = truth()
    run, _, _ = experiment(pool, tmp_path, stub, classifier=replace(CLASSIFIER, steps=2))
    run.run()
    firsts = {torch.rand((), generator=torch.Generator().manual_seed(seed)).item() for seed in stub.readers}
    assert len(firsts) == 5


@pytest.mark.parametrize("threads", [2, 5])
def test_choices_that_are_trained_side_by_side_come_to_the_same(pool, tmp_path, threads, torch_threads):
    found = []
    for one in (1, threads):
        torch_threads(one)
        run, _, results = experiment(pool, tmp_path / str(one), truth(), classifier=replace(CLASSIFIER, steps=4))
        run.run()
        assert torch.get_num_threads() == one
        found.append((results.cells, results.nearness))
    assert found[0] == found[1]


def test_a_generator_reads_rows_by_the_labeller_only_if_it_needs_it(pool, tmp_path):
    """Its reader scores as the arm of that classifier does."""
    closed, semi = truth(), Stub("semi", drawn, needs_labeller=True)
    run, _, results = experiment(pool, tmp_path, closed, semi, choices=2)
    run.run()
    assert "unlabelled" not in shown_arms([closed]) and "unlabelled" in shown_arms([closed, semi])
    for stub, arm in ((closed, "augmented"), (semi, "unlabelled")):
        for choice, (_, reader) in enumerate(sorted(stub.readers.items())):
            read = reader(pool.test.rows).argmax(1)
            recalls = [(read[pool.test.labels == label] == label).double().mean().item() for label in range(3)]
            assert results.cells[Cell(2, choice, arm)].recalls == pytest.approx(recalls, abs=1e-5)


@pytest.mark.parametrize(("confidence", "taught"), [(0.0, 9), (0.9, 10)])
def test_a_generator_that_reads_nothing_trains_nothing_to_read_with(pool, tmp_path, monkeypatch, confidence, taught):
    """Three arms of real rows and three of each generator; one more where the second task has to read."""
    trained = []

    def counted(draw, validation, data, options, seed):
        trained.append(seed)
        return train_classifier(draw, validation, data, options, seed)

    monkeypatch.setattr(experiments, "train_classifier", counted)
    one, other = truth(), Stub("other", drawn)
    options = {"choices": 2, "confidence": confidence, "classifier": replace(CLASSIFIER, steps=2)}
    run, _, _ = experiment(pool, tmp_path, one, other, **options)
    tasks = tasks_of(run.missing, [one, other])
    assert [{cell.generator for cell in task} for task in tasks] == [{"", "truth"}] * 2 + [{"other"}] * 2
    assert sorted(map(repr, chain(*tasks))) == sorted(map(repr, run.missing))
    run.run()
    assert not run.missing
    assert len(trained) == 2 * taught


def test_rows_that_only_a_labeller_reads_go_with_its_generator(pool, tmp_path):
    closed, semi = truth(), Stub("semi", drawn, needs_labeller=True)
    run, _, _ = experiment(pool, tmp_path, closed, semi, choices=1)
    tasks = tasks_of(run.missing, [closed, semi])
    assert [{cell.generator for cell in task} for task in tasks] == [{"", "semi"}, {"", "truth"}]
    of_real = [{cell.arm for cell in task if not cell.generator} for task in tasks]
    assert of_real == [{"augmented", "unlabelled"}, {"real", "more"}]


def test_the_time_is_estimated_where_a_batch_lacks_a_class(pool, tmp_path):
    rare = torch.cat([torch.nonzero(pool.train.labels < 2).flatten(), torch.nonzero(pool.train.labels == 2)[:2, 0]])
    few = replace(pool, train=pool.train.at(rare))
    assert 2 not in few.train.some(64).labels
    semi = truth(needs_labeller=True)
    run, _, _ = experiment(few, tmp_path, semi)
    assert (
        estimated_seconds(run.missing, Grid(USUAL_OPTIONS["points"], classifier=CLASSIFIER), few, [semi], unchanged) > 0
    )


def test_the_time_of_a_checkpoint_s_samples_is_its_own(pool, tmp_path, monkeypatch):
    shipped = Shipped(tiny_checkpoint(POINTS), Spiral())
    run, _, _ = experiment(pool, tmp_path, shipped, choices=1)
    grid = Grid(USUAL_OPTIONS["points"], (2,), (20,), classifier=replace(CLASSIFIER, steps=1))
    monkeypatch.setattr("training.utility.estimate._of_a_sample", lambda generator, pool: 1e6)
    seconds = estimated_seconds(run.missing, grid, pool, [shipped], unchanged)
    assert seconds == pytest.approx(2 * 20 * 3 * 1e6, rel=1e-3)


def test_choices_are_nested_and_keep_away_from_validation_rows(pool):
    few, many = pool.chosen(3, 0), pool.chosen(10, 0)
    assert set(few.tolist()) < set(many.tolist())
    assert torch.bincount(pool.train.labels[many]).tolist() == [10, 10, 10]
    assert set(pool.chosen(3, 1).tolist()) != set(few.tolist())
    rows = [{tuple(row) for row in part.rows.tolist()} for part in (pool.train, pool.validation, pool.test)]
    assert not rows[0] & rows[1] and not rows[0] & rows[2] and not rows[1] & rows[2]


@pytest.mark.parametrize("endless", [Spiral, GaussianMixture])
def test_no_row_of_an_endless_set_is_tested_on_and_trained_on(endless):
    pool = pool_of(endless())
    train, validation, test = (
        {tuple(row) for row in part.rows.tolist()} for part in (pool.train, pool.validation, pool.test)
    )
    assert not test & train and not test & validation
    assert len(pool.train) + len(pool.validation) == pytest.approx(20_000, abs=50)


def test_half_of_a_batch_is_generated_and_arms_take_the_same_steps(pool):
    real, generated = examples(30, 5), examples(30, 6)
    for name, arm in ARMS.items():
        if arm.unlabelled:
            continue  # it goes on from a classifier, for as many steps more
        steps = []
        draw = draw_of(arm, real, generated, unchanged)

        def counted(rows: int, generator: torch.Generator, draw=draw, steps=steps) -> tuple[Tensor, Tensor]:
            steps.append(rows)
            return draw(rows, generator)

        train_classifier(counted, pool.validation, CONFIG, replace(CLASSIFIER, steps=4), seed=0)
        assert steps == [64] * 4, name
        rows, _ = draw(64, torch.Generator().manual_seed(0))
        of_real = sum(any(torch.equal(row, other) for other in real.rows) for row in rows)
        assert of_real == (64 if not arm.generated else 32 if arm.real else 0), name


def test_samples_that_are_not_read_as_asked_are_drawn_again(pool):
    def reader(rows: Tensor) -> Tensor:
        return (-(torch.cdist(rows, MEANS) ** 2) / 0.72).softmax(1)

    known = Known(pool, pool.chosen(2, 0), 0, reader)
    means = []
    for confidence in (0.0, 0.9):
        kept = generated_rows(drawn, known, 200, confidence)
        assert torch.bincount(kept.labels).tolist() == [200, 200, 200]
        few = generated_rows(drawn, known, 50, confidence)
        assert torch.equal(few.rows, kept.rows[:150])  # what a small ratio has does not depend on the larger ones
        means.append(float((reader(kept.rows)[torch.arange(600), kept.labels] >= 0.9).double().mean()))
    assert means[0] < 0.85 and means[1] > 0.98


def test_unlabelled_rows_are_seen_with_the_labels_that_they_are_read_as(pool):
    further = points(torch.full((30,), 2), 9)
    known = Known(replace(pool, unlabelled=further), pool.chosen(2, 0), 0, lambda rows: -torch.cdist(rows, MEANS))
    seen = known.pseudo_labelled()
    assert torch.equal(seen.rows, torch.cat([pool.train.rows, further]))
    assert torch.equal(seen.labels[: len(pool.train)][known.chosen], pool.train.labels[known.chosen])
    assert (seen.labels[-30:] == torch.cdist(further, MEANS).argmin(1)).all()
    assert replace(pool, unlabelled=further).fingerprint != pool.fingerprint


@pytest.mark.parametrize("steps", [2, 10])
@pytest.mark.parametrize("kind", USUAL_OPTIONS)
def test_a_generator_may_take_few_steps(pool, kind, steps):
    config = CONFIG.model_copy(update={"mean": (0.0,) * DIMENSIONS, "std": (1.0,) * DIMENSIONS})
    denoiser = train_denoiser(pool.train, config, USUAL_OPTIONS[kind], steps, seed=0)
    assert all(weights.isfinite().all() for weights in denoiser.network.parameters())


def test_rows_without_labels_teach_the_labeller(pool):
    """Gains over four choices of two labels a class; as many steps with the labelled rows alone gain less."""
    noise = point_augmentation(torch.full((DIMENSIONS,), 0.6))
    gains, of_steps = [], []
    for seed in range(4):
        labelled = pool.train.rows[pool.chosen(2, seed)]
        for rows, found in ((pool.seen, gains), (labelled, of_steps)):
            before, after = readings(pool, noise, rows, seed)
            found.append(after - before)
    assert min(gains) > 0.01 and sum(gains) / 4 > 0.04 and sum(gains) > 2 * sum(of_steps)


def test_where_rows_mislead_the_labeller_reads_as_the_classifier_did(pool):
    def into_the_next_class(points: Tensor, generator: torch.Generator) -> Tensor:
        return points + (MEANS[1] - MEANS[0])

    before, after = readings(pool, into_the_next_class, pool.seen, 0)
    assert before == after


def readings(pool: Pool, augment: Augment, rows: Tensor, seed: int) -> tuple[float, float]:
    """Balanced accuracy of a classifier that two rows of each class have taught, and of its labeller."""
    chosen, options = pool.chosen(2, seed), replace(CLASSIFIER, steps=200)
    draw = draw_of(ARMS["augmented"], pool.train.at(chosen), None, point_augmentation(torch.full((DIMENSIONS,), 0.6)))
    reader = train_classifier(draw, pool.validation, CONFIG, options, seed)
    before = score(reader, CONFIG, pool.test).balanced_accuracy
    labeller = teach_labeller(reader, draw, rows, augment, pool.validation, CONFIG, options, seed)
    assert score(reader, CONFIG, pool.test).balanced_accuracy == before
    return before, score(labeller, CONFIG, pool.test).balanced_accuracy


def test_paired_intervals_are_students(pool):
    ours, theirs = np.array([0.7, 0.75, 0.72, 0.8, 0.71]), np.array([0.68, 0.7, 0.73, 0.74, 0.7])
    for settings in (1, 12):
        found = paired((ours - theirs).tolist(), 0.01, settings)
        low, high = stats.ttest_rel(ours, theirs).confidence_interval(1 - 0.05 / settings)
        assert [found.mean - found.half, found.mean + found.half] == pytest.approx([low, high])
    assert paired([0.1], 0.01).half == np.inf and not paired([0.1], 0.01).above_zero


def test_equal_differences_are_no_certainty():
    """Two classes of 20 test rows each: 0.025 is one row."""
    found = paired([0.025, 0.025], 0.025)
    assert not found.above_zero and found.half > 0.025
    nearly = paired([0.65 - 0.625, 0.5 - 0.475], 0.025)  # they differ by rounding
    assert nearly.half == pytest.approx(found.half)
    assert paired([0.5, 0.5, 0.5, 0.5, 0.5], 0.025).above_zero


def test_worth_is_read_off_the_curve():
    curve = {10: 0.5, 40: 0.7, 20: 0.6}
    assert worth(curve, 0.65) == pytest.approx(np.sqrt(20 * 40))
    assert worth(curve, 0.4) == pytest.approx(10)
    assert worth(curve, 0.71) is None
    assert worth({3: 1.0, 20: 1.0}, 1.0) == pytest.approx(3)
    told = [_worth(curve, value) for value in (0.49, 0.5, 0.6, 0.71)]
    assert told == ["less than 10", "10", "20", "more than 40"]
    assert worth({3: 0.8, 10: 0.9, 20: 0.85, 40: 0.95}, 0.9) == pytest.approx(10)


def test_the_area_under_the_curve_is_the_share_of_pairs_in_order():
    two = CONFIG.model_copy(update={"labels": ("no", "yes")})
    rows = Examples(torch.randn(50, DIMENSIONS, generator=torch.Generator().manual_seed(0)), torch.arange(50) % 2)
    network = torch.nn.Linear(DIMENSIONS, 2)
    found = score(network, two, rows)
    margin = (network(rows.rows) @ torch.tensor([-1.0, 1.0])).detach()
    pairs = margin[rows.labels == 1][:, None] > margin[rows.labels == 0][None]
    assert found.auc == pytest.approx(pairs.double().mean().item(), abs=1e-5)
    assert Score((0.5, 1.0)).balanced_accuracy == 0.75


@pytest.mark.parametrize("labels", [(), ("one",)])
def test_a_set_without_two_classes_is_refused(labels):
    config = CONFIG.model_copy(update={"labels": labels})
    part = Examples(torch.zeros(10, DIMENSIONS), torch.zeros(10, dtype=torch.int64))
    with pytest.raises(DataError, match=f"three has {len(labels)} classes, and a classifier needs two"):
        pool_of(FiniteSet(config, part, part))


def test_a_class_that_nothing_tests_is_named():
    with pytest.raises(DataError, match="class b has 200 rows to train on and 0 that are held out"):
        held = examples(90, 1)
        kept = held.labels != 1
        pool_of(FiniteSet(CONFIG, examples(600, 0), Examples(held.rows[kept], held.labels[kept])))


def test_more_rows_than_there_are_is_refused_before_anything_is_trained(pool, tmp_path):
    with pytest.raises(DataError, match=r"class a has 160 rows to choose from, and 500 are asked for: give --rows of"):
        experiment(pool, tmp_path, truth(), rows=(2, 500))


RECIPES = {
    "images": 'images = "own"\nsize = [8, 8]\nchannels = 3\n[network]\nkind = "unet"',
    "table": 'table = "own.csv"\nlabel = "kind"\n[network]\nkind = "mlp"',
}


@pytest.mark.parametrize("kind", [pytest.param("images", marks=pytest.mark.slow), "table"])
def test_the_command_asks_about_own_data(tmp_path, monkeypatch, kind):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    make_folder(tmp_path / "own", {"a": 20, "b": 20}) if kind == "images" else make_table(tmp_path / "own.csv", 60)
    recipe = f'name = "own"\n[data]\ndataset = "own"\n{RECIPES[kind]}\n[optimisation]\nsteps = 1000\n'
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "own.toml").write_text(recipe)
    ask = ["utility", "own", "--rows", "2", "--ratio", "1", "--choices", "2", "--classifier-steps", "2"]
    ask += ["--generator-steps", "2", "--pretraining-steps", "2"]
    result = CliRunner().invoke(app, ask)
    assert result.exit_code == 0, result.output
    assert "classifiers to train; about " in result.output
    page = (tmp_path / "reports" / "utility" / "own.md").read_text()
    assert "area under the ROC curve" in page and "## semi, 1 generated row for each real one" in page
    (kept,) = (tmp_path / "reports" / "utility").glob("own-*.json")
    assert len(json.loads(kept.read_text())["cells"]) == 2 * (4 + 2 * 3)
    other = CliRunner().invoke(app, [*ask, "--confidence", "0.5"])
    assert "classifiers to train" in other.output  # and the former results stay
    file = tmp_path / "recipes" / "own.toml"
    for name in ("own", str(file)):
        again = CliRunner().invoke(app, ["utility", name, *ask[2:]])
        assert "classifiers to train" not in again.output and again.exit_code == 0
    twice = CliRunner().invoke(app, [*ask, "--generator", "closed", "--generator", "closed"])
    assert "classifiers to train" not in twice.output and twice.exit_code == 0
    page = (tmp_path / "reports" / "utility" / "own.md").read_text()
    assert page.count("## closed, ") == 1 and "the best of" not in page
    elsewhere = CliRunner().invoke(app, ["utility", str(file), *ask[2:], "--reports", "of mine"])
    assert "classifiers to train" in elsewhere.output
    command = re.search("`python -m training (.*?)`", (tmp_path / "of mine" / "own.md").read_text())[1]
    again = CliRunner().invoke(app, shlex.split(command))  # the page says how it was made
    assert "classifiers to train" not in again.output and again.exit_code == 0
    with monkeypatch.context() as patch:  # the training without labels is kept
        patch.setattr(Semi, "_pretrained", Mock(side_effect=RuntimeError("trained again")))
        assert CliRunner().invoke(app, [*ask, "--generator-steps", "3"]).exit_code == 0
        again = CliRunner().invoke(app, [*ask, "--pretraining-steps", "3"])
        assert str(again.exception) == "trained again"
    with held_alone(kept.with_name(f".{kept.stem}.lock"), kept, "measures", "wait"):
        refused = CliRunner().invoke(app, ask)
    assert f"process {os.getpid()} measures for it already" in str(refused.exception)
    if kind == "images":  # in every augmented arm
        for field in ("flip = true", 'standardise = "channels"'):
            file.write_text(recipe.replace("channels = 3", f"channels = 3\n{field}"))
            assert "classifiers to train" in CliRunner().invoke(app, ask).output
    place = Path("own" if kind == "images" else "own.csv")
    file.write_text(recipe.replace(f'{kind} = "{place}"', f'{kind} = "moved-{place}"'))
    place.rename(f"moved-{place}")
    assert "classifiers to train" not in CliRunner().invoke(app, ask).output  # where data lie does not count
    for wrong in ("0", "a,b"):
        refused = CliRunner().invoke(app, ["utility", "own", "--rows", wrong])
        assert refused.exit_code == 2 and "whole numbers from 1 on" in " ".join(refused.output.split())
