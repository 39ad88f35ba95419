"""The pictures of a model card, each saved into the checkpoint's folder."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision.utils import save_image

from model.checkpoints.autoguidance import AutoguidanceConfig
from model.checkpoints.classifier import ClassifierConfig
from model.checkpoints.clip import ClipConfig
from model.checkpoints.denoiser import DenoiserConfig
from model.conditions import NO_LABEL
from training.card.card import ACCURACY, CONTROL_SHEET, LIKELIHOOD, NEAREST
from training.data.training_set import Examples, TrainingSet
from training.evaluate.classifier_evaluation import Accuracies
from training.evaluate.hint_evaluation import HintSet
from training.evaluate.likelihood import Likelihood
from training.evaluate.measurement import number
from training.evaluate.sampling_run import Generated
from training.generate import spread
from training.metrics.memorisation import PAIRS, Memorisation
from training.pictures import plane, plot_points, save_picture
from training.plotting import plt

SHEET_COLUMNS = 10
MOST_CLASSES = 20  # lines of a sheet; with more classes, an even choice of them
SHOWN_POINTS = 5_000
WORST = 20  # samples in a picture of the farthest
SMALLEST_BITS = 1e-6  # terms below are drawn on a linear axis


def save_accuracy_picture(folder: Path, config: ClassifierConfig | ClipConfig, found: Accuracies | None) -> None:
    """Plot accuracy against the noise level; without `found` there is no picture."""
    if found is None:
        return
    figure, axes = plt.subplots(figsize=(5.6, 3.4), dpi=100)
    axes.plot(found.t / config.schedule.T, 100 * found.accuracy, "o-", color="#084594", linewidth=1.5, markersize=3)
    axes.axhline(100 / len(config.data.labels), color="black", linewidth=0.8, linestyle=":")
    axes.text(0, 100 / len(config.data.labels), "by chance", va="bottom", fontsize=8)
    axes.set(xlabel="t/T", ylabel="read right, %", ylim=(0, 102))
    axes.set_title(f"{config.name}: accuracy against noise", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(folder / ACCURACY, bbox_inches="tight")
    plt.close(figure)


def save_image_sheet(folder: Path, config: DenoiserConfig | AutoguidanceConfig, generated: Generated) -> None:
    """A sheet with the first samples of each class in a line, or a square of samples without classes.

    Samples are not selected by their quality.
    """
    classes = np.unique(generated.labels.numpy())
    shown = classes[spread(len(classes), MOST_CLASSES)]
    rows = [torch.nonzero(generated.labels == label).flatten()[:SHEET_COLUMNS] for label in shown]
    if len(shown) == 1:
        rows = [torch.arange(min(len(generated.rows), SHEET_COLUMNS**2))]
    blank = torch.zeros(1, *generated.rows.shape[1:])
    images = torch.cat([generated.rows, blank])
    fill = torch.tensor([len(generated.rows)])  # a class with few samples is filled up with blanks
    lines = [torch.cat([line, fill.expand(-len(line) % SHEET_COLUMNS)]) for line in rows]
    chosen = torch.cat(lines)
    labels = np.full(len(chosen), NO_LABEL)
    save_picture(folder / "samples.png", config.data, images[chosen], labels, columns=SHEET_COLUMNS)


def save_nearest_picture(folder: Path, found: Memorisation) -> None:
    """Four lines: the samples nearest to a training row, these rows, the nearest held-out images, and their rows."""
    lines = [line for nearest in (found.samples, found.held_out) for line in nearest.closest(PAIRS)]
    columns = min(len(line) for line in lines)
    images = torch.cat([line[:columns] for line in lines]).clamp(0, 255) / 255
    save_image(images, folder / NEAREST, nrow=columns, padding=2, pad_value=0.3)


def save_farthest_picture(path: Path, data: TrainingSet, generated: Generated, distance: Tensor) -> None:
    """Draw the WORST samples by their distance [n] from real data: images as a sheet, the farthest first; points beside
    all samples. Real points are drawn below them only where they are made up: others are not to be shown to everybody.
    """
    config = data.config
    real = data.held_out.rows if data.examples is None else generated.rows
    farthest = distance.argsort(descending=True)[:WORST]
    rows = generated.rows[farthest]
    if config.kind == "images":
        save_picture(path, config, rows, np.full(len(rows), NO_LABEL), columns=SHEET_COLUMNS)
        return
    project, names = plane(real, config)
    figure, panels = plt.subplots(1, 2, figsize=(11, 5.5), dpi=110)
    for panel, shown in zip(panels, (torch.arange(len(distance)), farthest), strict=True):
        plot_points(panel, project(real), torch.full((len(real),), NO_LABEL), names, equal=config.one_unit)
        plot_points(panel, project(generated.rows[shown]), generated.labels[shown], names, equal=config.one_unit)
    places = project(rows)
    if places.shape[1] == 2:
        panels[1].scatter(*places.T, s=60, facecolors="none", edgecolors="crimson", linewidths=1)
    below = " over real points" if data.examples is None else ""
    panels[0].set_title(f"{len(distance):,} samples{below}", fontsize=9)
    furthest, nearest = distance[farthest[0]].item(), distance[farthest[-1]].item()
    panels[1].set_title(f"the {len(farthest)} farthest: {nearest:.3g} … {furthest:.3g} from real points", fontsize=9)
    figure.savefig(path, bbox_inches="tight")
    plt.close(figure)


def save_control_sheet(folder: Path, parts: Sequence[tuple[HintSet, Sequence[Tensor]]]) -> None:
    """For each hint set, lines of some sources, their hints, and their samples.

    parts  a hint set, and the samples [n, C, H, W] in 0 … 255 by each setup
    """
    columns = min(2 * SHEET_COLUMNS, len(parts[0][0]))
    lines = []
    for hint_set, samples in parts:
        some = torch.from_numpy(spread(len(hint_set), columns))
        images = (hint_set.sources.float(), 255 * hint_set.hints, *samples)
        lines += [line[some].expand_as(samples[0][some]) for line in images]
    save_image(torch.cat(lines) / 255, folder / CONTROL_SHEET, nrow=columns, padding=2, pad_value=0.3)


def save_points_picture(
    folder: Path, config: DenoiserConfig | AutoguidanceConfig, data: TrainingSet, generated: Generated
) -> None:
    """Plot real points beside samples, coloured by label; more than two dimensions are projected, see `plane`."""
    n = min(len(generated.rows), SHOWN_POINTS)
    if data.examples is None:
        real = Generated(*data.draw(n, torch.Generator().manual_seed(1)))
    else:
        some = data.examples.some(n)
        real = Generated(some.rows, some.labels)
    few = Examples(generated.rows, generated.labels).some(len(real.rows))
    project, names = plane(real.rows, data.config)
    figure, axes = plt.subplots(1, 2, figsize=(9, 4.5), dpi=100, sharex=True, sharey=True)
    title = f"{config.name}, {config.sampling.sampler}" if config.sampling.sampler else config.name
    for panel, above, rows, labels in (
        (axes[0], "real", real.rows, real.labels),
        (axes[1], title, few.rows, few.labels),
    ):
        plot_points(panel, project(rows), labels, names, equal=data.config.one_unit)
        panel.set_title(above, fontsize=10)
    figure.savefig(folder / "points.png", bbox_inches="tight")
    plt.close(figure)


def save_likelihood_picture(folder: Path, config: DenoiserConfig, chains: dict[int, Likelihood]) -> None:
    """Plot the terms of the bound over t, a panel for each chain by its number of steps.

    The decoder's term stands at the end, the prior at T.
    """
    figure, panels = plt.subplots(1, len(chains), figsize=(5 * len(chains), 3.6), dpi=100, squeeze=False)
    for panel, (steps, likelihood) in zip(panels[0], chains.items(), strict=True):
        t = likelihood.timesteps
        for variance, bits in likelihood.bits.items():
            label = f"{variance}: {bits.mean:.3f} ± {bits.standard_error:.3f}"
            (line,) = panel.plot(t[:-1], bits.terms[:-1], label=label, linewidth=1.2)
            panel.plot(t[-1:], bits.terms[-1:], "s", color=line.get_color(), markersize=4)
        panel.plot([], [], "s", color="grey", markersize=4, label="… its decoder")
        prior = number(likelihood.metrics, "prior")  # the same for every variance
        panel.plot([config.schedule.T], [prior], "D", color="black", markersize=4, label="prior")
        panel.set_xscale("log")
        panel.set_yscale("symlog", linthresh=SMALLEST_BITS)  # a density may be above 1, and its bits negative
        terms = [term for bits in likelihood.bits.values() for term in bits.terms.tolist()]
        panel.set_ylim(2 * min(0, *terms), 2 * max(terms))
        panel.set_xlabel("t (log)")
        panel.set_title(f"{config.name}, {steps} steps", fontsize=10)
        panel.legend(frameon=False, fontsize=8)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0][0].set_ylabel("bits per dimension")
    figure.savefig(folder / LIKELIHOOD, bbox_inches="tight")
    plt.close(figure)
