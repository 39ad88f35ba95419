"""Samples as a picture for a person to look at."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor
from torchvision.utils import save_image

from model.conditions import NO_LABEL
from model.data import DataConfig
from model.noise_schedule import NoiseSchedule
from model.prediction import diffused
from training.data.training_set import TrainingSet
from training.plotting import plt


def save_noisy_picture(path: Path, data: TrainingSet, schedule: NoiseSchedule) -> None:
    """What readers of noisy rows are shown: a few rows at more and more noise, one line a level."""
    generator = torch.Generator().manual_seed(0)
    rows, labels = data.draw(8, generator)
    levels = np.linspace(0, 0.75, 5) * schedule.T
    alpha_bar = torch.from_numpy(schedule.alpha_bar[levels.astype(int)]).float().repeat_interleave(len(rows))
    x0 = data.config.standardise(rows).repeat(len(levels), *[1] * (rows.dim() - 1))
    x_t = diffused(x0, torch.randn(x0.shape, generator=generator), alpha_bar)
    colours = labels.view(len(rows), -1)[:, 0].repeat(len(levels)).numpy()
    save_picture(path, data.config, data.config.restore(x_t), colours, columns=len(rows))


def save_picture(path: Path, data: DataConfig, rows: Tensor, labels: np.ndarray, columns: int | None = None) -> None:
    """Images: a sheet, by default one line a class. Points: a scatter plot, coloured by class.

    rows in the data's own units, [n, …] sorted by label; labels [n]
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if data.kind == "images":
        columns = columns or int((labels == labels[0]).sum())
        save_image(rows.clamp(0, 255) / 255, path, nrow=columns, padding=2, pad_value=0.3)
        return
    figure, axes = plt.subplots(figsize=(5, 5), dpi=120)
    show, names = plane(rows, data)
    plot_points(axes, show(rows), torch.from_numpy(labels), names, equal=data.one_unit)
    figure.savefig(path, bbox_inches="tight")
    plt.close(figure)


def plane(rows: Tensor, data: DataConfig) -> tuple[Callable[[Tensor], Tensor], tuple[str, ...]]:
    """(points [n, d] → what is shown of them [n, 1 or 2], what the axes are called): themselves, or of more than two
    dimensions the two principal components of `rows`, as the network sees them."""
    if len(data.columns) <= 2:
        return (lambda points: points), data.names
    seen = data.standardise(rows)
    mean = seen.mean(0)
    _, _, directions = torch.linalg.svd(seen - mean, full_matrices=False)
    directions = directions[:2] * directions[:2].sum(1, keepdim=True).sign()  # the sign is the algorithm's whim
    return (lambda points: (data.standardise(points) - mean) @ directions.T), ("1st principal component", "2nd")


def plot_points(axes: Axes, points: Tensor, labels: Tensor, names: Sequence[str], *, equal: bool) -> None:
    """points [n, 2]: scattered, coloured by label, grey without one. [n, 1]: a histogram a label."""
    if points.shape[1] == 1:
        axes.hist([points[labels == label, 0].numpy() for label in labels.unique()], bins=40, stacked=True)
    else:
        asked, dots = labels != NO_LABEL, dict(s=3, linewidths=0)
        axes.scatter(*points[~asked].T, c="dimgrey", **dots)
        axes.scatter(*points[asked].T, c=labels[asked], cmap="viridis", **dots)
        if equal:
            axes.set_aspect("equal")
    for name, set_label in zip(names, (axes.set_xlabel, axes.set_ylabel), strict=False):
        set_label(name, fontsize=8, parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
