"""The results as a page: one plain sentence, tables, and a picture."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from training.plotting import plt
from training.utility.arms import ARMS, JUDGED, LABELLER, REFERENCE
from training.utility.classifier import Score
from training.utility.copies import mean_of_known
from training.utility.experiment import Grid, shown_arms
from training.utility.generator import Generator
from training.utility.generator_training import USUAL_OPTIONS
from training.utility.headline import Setting, for_each, headline, intervals_of, points
from training.utility.labeller import ROWS_PER_LABELLED
from training.utility.paired import Difference, paired, worth
from training.utility.pool import Pool
from training.utility.results import Cell, Results

RAREST = 3  # classes whose recalls are shown
COPIES = "{:.3f}".format, "{:.3f}".format, "{:.1%}".format, "{:.1%}".format  # columns of the table of copies
COLOURS = {
    "real": "0.6",
    "augmented": "black",
    "unlabelled": "tab:green",
    "generated": "tab:cyan",
    "both": "tab:blue",
    "only": "tab:orange",
}


class UtilityReport:
    """Of the cells that are there, also of an experiment that is not at its end.

    asked  the words of the command that are no numbers: which data, which generators, and where they are
    """

    def __init__(self, grid: Grid, pool: Pool, generators: Sequence[Generator], results: Results, asked: Sequence[str]):
        self._grid, self._pool, self._generators, self._results = grid, pool, generators, results
        self._asked = asked
        self._arms = shown_arms(generators)

    def write(self, folder: Path, name: str) -> Path:
        """NAME.md and NAME.png; returns the page."""
        folder.mkdir(parents=True, exist_ok=True)
        self._draw(folder / f"{name}.png")
        page = folder / f"{name}.md"
        page.write_text("\n".join(self._lines(name)).rstrip() + "\n", encoding="utf-8")
        return page

    def answer(self) -> str:
        """See `headline`."""
        return headline(self._settings(), self._resolution())

    def _settings(self) -> list[Setting]:
        """Those of which anything was measured."""
        found = []
        for generator in self._generators:
            for ratio in self._grid.ratios:
                for rows in self._grid.rows:
                    where = generator.key, ratio, rows
                    rival = self._differences(*where, reference=LABELLER) if generator.needs_labeller else []
                    if differences := self._differences(*where):
                        found.append(Setting(rows, generator.name, ratio, differences, rival))
        return found

    def _resolution(self, label: int | None = None) -> float:
        """What one test row changes: of a class's recall, or at most of the balanced accuracy."""
        tested = torch.bincount(self._pool.test.labels, minlength=self._pool.classes)
        return 1 / int(tested.min()) / self._pool.classes if label is None else 1 / int(tested[label])

    def _lines(self, name: str) -> Iterator[str]:
        pool, grid = self._pool, self._grid
        yield f"# Does generated data help? {pool.config.dataset}\n"
        yield f"**{self.answer()}**\n"
        doubts = [generator.doubt for generator in self._generators if generator.doubt]
        yield from (f"**{doubt}**\n" for doubt in doubts)
        yield (
            f"`{self._command()}` makes this page. The classifier, its {grid.classifier.steps} steps "
            f"and its early stopping on {len(pool.validation):,} real rows are the same in every arm"
            f"{f' but *{ARMS[LABELLER].title}*' if LABELLER in self._arms else ''}. It is tested on "
            f"{len(pool.test):,} real rows that {'no classifier' if doubts else 'nothing'} has seen. "
            f"Numbers are means over {grid.choices} choices of the labelled rows. Differences are paired by choice, "
            f"with a 95 % interval: of 40 such intervals about one lies above 0 by chance."
        )
        if (intervals := intervals_of(self._settings())) > 1:
            yield (
                f"\nThe first sentence has wider intervals, by Bonferroni's inequality: all {intervals} that it is "
                f"chosen from hold together with 95 %."
            )
        yield from self._limits()
        if LABELLER in self._arms:
            yield (
                f"\n*{ARMS[LABELLER].title}* has no generator. All rows, without their labels, teach the augmented "
                f"classifier for {grid.classifier.steps} steps more, {ROWS_PER_LABELLED} in a batch for each labelled "
                f"one (FixMatch). What it reads are the labels that the semi generator learns."
            )
        if grid.confidence:
            yield f"\nSamples are kept that the classifier reads as asked with a probability of {grid.confidence:g}."
        yield f"\n![balanced accuracy]({name}.png)\n"
        for generator in self._generators:
            for ratio in grid.ratios:
                yield from self._table(generator, ratio)
        yield from self._rare()
        yield from self._memorised()

    def _limits(self) -> Iterator[str]:
        """What the intervals leave out: the chance in the test rows, and choices that have rows in common."""
        tested = torch.bincount(self._pool.test.labels, minlength=self._pool.classes)
        fewest = int(tested.argmin())
        yield (
            f"\nAll choices are tested on the same rows, so the intervals hold for these. Class "
            f"{self._pool.config.labels[fewest]} has {int(tested[fewest]):,} of them: one is "
            f"{100 * self._resolution():.2g} points. No interval is narrower than if differences deviated by that."
        )
        rows, (there, name) = max(self._grid.rows), self._pool.fewest()
        if 2 * rows > there:
            yield (
                f"\n**The intervals at {rows} labels a class are too narrow**: class {name} has {there} rows to choose "
                f"from, so that {rows / there:.0%} of its rows are the same in any two choices."
            )

    def _command(self) -> str:
        """Rows, ratios and choices always; other numbers where they are not the defaults."""
        grid, usual = self._grid, Grid(USUAL_OPTIONS[self._pool.config.kind])
        always = {"--rows": grid.rows, "--ratio": grid.ratios, "--choices": (grid.choices,)}
        others = {
            "--confidence": (grid.confidence, usual.confidence),
            "--classifier-steps": (grid.classifier.steps, usual.classifier.steps),
            "--pretraining-steps": (grid.generator.pretraining_steps, usual.generator.pretraining_steps),
            "--generator-steps": (grid.generator.steps, usual.generator.steps),
        }
        given = [f"{option} {','.join(map(str, values))}" for option, values in always.items()]
        given += [f"{option} {value}" for option, (value, default) in others.items() if value != default]
        return " ".join(["python -m training utility", shlex.join(self._asked), *given])

    def _table(self, generator: Generator, ratio: int) -> Iterator[str]:
        yield f"## {generator.name}, {for_each(ratio)}\n"
        yield f"The generator: {generator.said}.\n"
        yield f"| labels a class | {' | '.join(arm.title for arm in self._arms.values())} | both − augmented | worth |"
        yield f"|--:|{'--:|' * (len(self._arms) + 2)}"
        curve = self._curve()
        for rows in self._grid.rows:
            means = [self._mean(rows, arm, generator.key, ratio) for arm in self._arms]
            difference = self._difference(generator.key, ratio, rows)
            cells = ["–" if mean is None else f"{100 * mean:.1f}" for mean in means]
            both = self._mean(rows, JUDGED, generator.key, ratio)
            yield (
                f"| {rows} | {' | '.join(cells)} | {'–' if difference is None else points(difference)} | "
                f"{'–' if both is None else _worth(curve, both)} |"
            )
        yield (
            "\nBalanced accuracy in per cent. *Worth*: the real labelled rows of each class with which the augmented "
            "arm is as good.\n"
        )
        if self._pool.classes == 2:
            yield from self._auc(generator, ratio)

    def _auc(self, generator: Generator, ratio: int) -> Iterator[str]:
        yield f"| labels a class: area under the ROC curve | {' | '.join(arm.title for arm in self._arms.values())} |"
        yield f"|--:|{'--:|' * len(self._arms)}"
        for rows in self._grid.rows:
            cells = []
            for arm in self._arms:
                found = self._scores(rows, arm, generator.key, ratio).values()
                areas = [one.auc for one in found if one.auc is not None]
                cells.append(f"{np.mean(areas):.3f}" if areas else "–")
            yield f"| {rows} | {' | '.join(cells)} |"
        yield ""

    def _rare(self) -> Iterator[str]:
        if self._pool.classes <= RAREST:
            return
        classes = self._pool.rarest_first[:RAREST]
        names = [self._pool.config.labels[label] for label in classes]
        yield f"## The {RAREST} rarest classes\n"
        yield "Recall, both − augmented, in points.\n"
        yield f"| generator | ratio | labels a class | {' | '.join(names)} |"
        yield f"|---|--:|--:|{'--:|' * RAREST}"
        for generator in self._generators:
            for ratio in self._grid.ratios:
                for rows in self._grid.rows:
                    found = [self._difference(generator.key, ratio, rows, label) for label in classes]
                    cells = ("–" if one is None else points(one) for one in found)
                    yield f"| {generator.name} | {ratio} | {rows} | {' | '.join(cells)} |"
        yield ""

    def _memorised(self) -> Iterator[str]:
        yield "## Copies\n"
        yield (
            "Median distances to the nearest labelled row (root mean square, in the network's range), and the share of "
            "samples nearer than 99 % of the test rows of their class are. *By chance*: that share of new real rows, "
            "which is more than 1 % where few rows test a class. All are means over the classes.\n"
        )
        yield "| generator | labels a class | samples | test rows | nearer | by chance |"
        yield "|---|--:|--:|--:|--:|--:|"
        for generator in self._generators:
            for rows in self._grid.rows:
                found = [
                    (one.samples, one.test_rows, one.nearer, one.by_chance)
                    for taught, one in self._results.nearness.items()
                    if (taught.generator, taught.rows) == (generator.key, rows) and taught.choice < self._grid.choices
                ]
                if found:
                    means = [mean_of_known(column) for column in zip(*found, strict=True)]
                    cells = ("–" if one is None else text(one) for one, text in zip(means, COPIES, strict=True))
                    yield f"| {generator.name} | {rows} | {' | '.join(cells)} |"

    def _score(self, rows: int, choice: int, arm: str, generator: str, ratio: int) -> Score | None:
        generated = (generator, ratio) if ARMS[arm].generated else ("", 0)
        return self._results.cells.get(Cell(rows, choice, arm, *generated))

    def _scores(self, rows: int, arm: str, generator: str, ratio: int) -> dict[int, Score]:
        """By choice."""
        found = {choice: self._score(rows, choice, arm, generator, ratio) for choice in range(self._grid.choices)}
        return {choice: one for choice, one in found.items() if one is not None}

    def _mean(self, rows: int, arm: str, generator: str, ratio: int) -> float | None:
        """The mean balanced accuracy."""
        found = [one.balanced_accuracy for one in self._scores(rows, arm, generator, ratio).values()]
        return float(np.mean(found)) if found else None

    def _difference(self, generator: str, ratio: int, rows: int, label: int | None = None) -> Difference | None:
        """Of `_differences`, with its interval."""
        found = self._differences(generator, ratio, rows, label)
        return paired(found, self._resolution(label)) if found else None

    def _differences(
        self, generator: str, ratio: int, rows: int, label: int | None = None, reference: str = REFERENCE
    ) -> list[float]:
        """Of balanced accuracies, or of the recalls of a class, by choice: the judged arm's less the reference's."""
        ours, theirs = (self._scores(rows, arm, generator, ratio) for arm in (JUDGED, reference))

        def value(score: Score) -> float:
            return score.balanced_accuracy if label is None else score.recalls[label]

        return [value(ours[choice]) - value(theirs[choice]) for choice in sorted(ours.keys() & theirs.keys())]

    def _curve(self) -> dict[int, float]:
        """Rows of each class → balanced accuracy of the augmented arm; twice as many rows count too."""
        curve: dict[int, float] = {}
        for rows in self._grid.rows:
            for arm, number in ((REFERENCE, rows), ("more", 2 * rows)):
                mean = self._mean(rows, arm, "", 0)
                if mean is not None:
                    curve.setdefault(number, mean)
        return curve

    def _draw(self, path: Path) -> None:
        figure, axes = plt.subplots(
            1,
            len(self._generators),
            figsize=(5 * len(self._generators), 4.5),
            sharey=True,
            squeeze=False,
            layout="constrained",
        )
        ratio = max(self._grid.ratios)
        for axis, generator in zip(axes[0], self._generators, strict=True):
            for arm, colour in COLOURS.items():  # an arm that has no cells has no line
                line = [
                    (rows, 100 * mean)
                    for rows in self._grid.rows
                    if (mean := self._mean(rows, arm, generator.key, ratio)) is not None
                ]
                if line:
                    axis.plot(*zip(*line, strict=True), "o-", color=colour, label=ARMS[arm].title)
            axis.set_xscale("log")
            axis.set_xticks(self._grid.rows, [str(rows) for rows in self._grid.rows], minor=False)
            axis.minorticks_off()
            axis.set_title(f"{generator.name}, ratio {ratio}")
            axis.set_xlabel("labels a class")
        axes[0][0].set_ylabel("balanced accuracy, %")
        figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
        figure.savefig(path, dpi=110)
        plt.close(figure)


def _worth(curve: dict[int, float], value: float) -> str:
    if value < curve[min(curve)]:
        return f"less than {min(curve)}"
    rows = worth(curve, value)
    return f"more than {max(curve)}" if rows is None else f"{rows:.0f}"
