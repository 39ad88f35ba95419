"""Pictures of rows: sheets of images, scatter plots of points."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray
from torch import Tensor
from torchvision.utils import save_image

from model.conditions import NO_LABEL
from model.data import DataConfig
from model.noise_schedule import NoiseSchedule
from model.prediction import diffused
from training.data.training_set import TrainingSet
from training.plotting import plt


def save_noisy_picture(path: Path, data: TrainingSet, schedule: NoiseSchedule) -> None:
    """Save a picture of noisy rows as classifiers and CLIP are trained on: a line for each noise level."""
    generator = torch.Generator().manual_seed(0)
    rows, labels = data.draw(8, generator)
    levels = np.linspace(0, 0.75, 5) * schedule.T
    alpha_bar = torch.from_numpy(schedule.alpha_bar[levels.astype(int)]).float().repeat_interleave(len(rows))
    x0 = data.config.standardise(rows).repeat(len(levels), *[1] * (rows.dim() - 1))
    x_t = diffused(x0, torch.randn(x0.shape, generator=generator), alpha_bar)
    colours = labels.view(len(rows), -1)[:, 0].repeat(len(levels)).numpy()
    save_picture(path, data.config, data.config.restore(x_t), colours, columns=len(rows))


def save_picture(
    path: Path, data: DataConfig, rows: Tensor, labels: NDArray[np.int64], columns: int | None = None
) -> None:
    """Save a sheet of images, or a scatter plot of points coloured by class.

    rows     [n, …] in the data's own units, sorted by label
    labels   [n]
    columns  of the sheet; by default a line has one class
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if data.kind == "images":
        columns = columns or int((labels == labels[0]).sum())
        save_image(rows.clamp(0, 255) / 255, path, nrow=columns, padding=2, pad_value=0.3)
        return
    figure, axes = plt.subplots(figsize=(5, 5), dpi=120)
    project, names = plane(rows, data)
    plot_points(axes, project(rows), torch.from_numpy(labels), names, equal=data.one_unit)
    figure.savefig(path, bbox_inches="tight")
    plt.close(figure)


def plane(rows: Tensor, data: DataConfig) -> tuple[Callable[[Tensor], Tensor], tuple[str, ...]]:
    """(a projection of points [n, d] to [n, 1 or 2], the names of the axes).

    Points of one or two dimensions stay as they are. Others are projected on the first two principal components of
    `rows` [m, d] in the network's range.
    """
    if len(data.columns) <= 2:
        return (lambda points: points), data.names
    standardised = data.standardise(rows)
    mean = standardised.mean(0)
    _, _, directions = torch.linalg.svd(standardised - mean, full_matrices=False)
    directions = directions[:2] * directions[:2].sum(1, keepdim=True).sign()  # the SVD leaves the sign open
    return (lambda points: (data.standardise(points) - mean) @ directions.T), ("1st principal component", "2nd")


def plot_points(axes: Axes, points: Tensor, labels: Tensor, names: Sequence[str], *, equal: bool) -> None:
    """Plot points [n, 2] as dots coloured by label [n], grey without one; points [n, 1] as a histogram of each label.

    names  of the axes: up to two
    equal  one unit is as long on both axes
    """
    if points.shape[1] == 1:
        axes.hist([points[labels == label, 0].numpy() for label in np.unique(labels.numpy())], bins=40, stacked=True)
    else:
        has_label = labels != NO_LABEL
        plain, coloured = points[~has_label].numpy(), points[has_label].numpy()
        axes.scatter(plain[:, 0], plain[:, 1], c="dimgrey", s=3, linewidths=0)
        axes.scatter(coloured[:, 0], coloured[:, 1], c=labels[has_label].numpy(), cmap="viridis", s=3, linewidths=0)
        if equal:
            axes.set_aspect("equal")
    for name, axis in zip(names, (axes.xaxis, axes.yaxis), strict=False):
        axis.set_label_text(name, fontsize=8, parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
