"""Arrows over the plane: the score ∇ log p(x_t) and the gradient ∇ log p(y|x_t), at a few noise levels."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from model.checkpoints.classifier import ClassifierCheckpoint
from model.checkpoints.denoiser import DenoiserCheckpoint
from model.conditions import Conditions
from model.prediction import diffused, score
from training.data import trained_on
from training.plotting import plt
from training.report.pipeline import GuidedPipeline

LEVELS = (0.05, 0.25, 0.5, 0.75)  # t/T
SIDE = 21  # arrows a side
CLOUD = 1_500  # noisy points behind them
EXPLANATION = (
    "Each column has one noise level. The arrows of ∇ log p(x_t) lead to where points are; those of ∇ log p(y | x_t) "
    "lead to the points of label y. Dots are real points with that noise. Lengths are square roots; they compare "
    "within one panel only."
)


def of_points(pipeline: GuidedPipeline, device: torch.device) -> tuple[str, Callable[[Path], None]]:
    """(name, picture). The first line shows the score of an unconditional model, each other line a label's gradient."""
    classifier = pipeline.guidance_model
    if not isinstance(classifier, ClassifierCheckpoint):
        raise ValueError(f"{classifier.name} is no classifier: it has no gradient for each label")
    return pipeline.picture("fields"), lambda path: _draw(pipeline.checkpoint, classifier, path, device)


def _draw(checkpoint: DenoiserCheckpoint, classifier: ClassifierCheckpoint, path: Path, device: torch.device) -> None:
    data = checkpoint.config.data
    labels = classifier.config.data.labels
    rows, _ = trained_on(checkpoint.config).draw(CLOUD, torch.Generator().manual_seed(0))
    x0 = data.standardise(rows)
    noise = torch.randn(x0.shape, generator=torch.Generator().manual_seed(1))
    figure, panels = plt.subplots(
        1 + len(labels), len(LEVELS), figsize=(2.6 * len(LEVELS), 2.7 * (1 + len(labels))), dpi=100
    )
    for column, level in zip(panels.T, LEVELS, strict=True):
        t = round(level * checkpoint.schedule.T)
        alpha_bar = float(checkpoint.schedule.alpha_bar[t])
        cloud = diffused(x0, noise, torch.full((CLOUD,), alpha_bar))
        grid = _grid(1.15 * float(cloud.abs().quantile(0.995)))
        fields = [_score(checkpoint, grid, t, alpha_bar, device)]
        fields += [_gradient(classifier, grid, t, label, device) for label in range(len(labels))]
        titles = [f"∇ log p(x_t), t/T = {level:g}", *(f"∇ log p({label} | x_t)" for label in labels)]
        for panel, field, title in zip(column, fields, titles, strict=True):
            _arrows(panel, cloud, grid, field, title)
    figure.savefig(path, bbox_inches="tight")
    plt.close(figure)


def _grid(reach: float) -> Tensor:
    axis = torch.linspace(-reach, reach, SIDE)
    return torch.cartesian_prod(axis, axis)


def _score(checkpoint: DenoiserCheckpoint, x: Tensor, t: int, alpha_bar: float, device: torch.device) -> Tensor:
    with torch.inference_mode():
        times = torch.full((len(x),), t)
        x0 = checkpoint.denoiser(device)(x.to(device), times, Conditions.none(len(x))).x0.cpu()
    return score(x0, x, torch.full((len(x),), alpha_bar))


def _gradient(classifier: ClassifierCheckpoint, x: Tensor, t: int, label: int, device: torch.device) -> Tensor:
    times, labels = (torch.full((len(x),), value, device=device) for value in (t, label))
    return classifier.classifier(device).gradient(x.to(device), times, labels).cpu()


def _arrows(panel: Axes, cloud: Tensor, grid: Tensor, field: Tensor, title: str) -> None:
    """Arrow lengths are square roots, because gradients near the data span orders of magnitude.

    The longest arrow has the same length in every panel.
    """
    length = field.norm(dim=1, keepdim=True)
    arrows = (field / length.clamp(min=1e-12).sqrt()).numpy()
    spacing = float(grid[1, 1] - grid[0, 1])
    longest = float(np.linalg.norm(arrows, axis=1).max()) or 1.0
    panel.scatter(cloud[:, 0], cloud[:, 1], s=1, c="#bdbdbd", linewidths=0)
    panel.quiver(
        grid[:, 0], grid[:, 1], *arrows.T, color="#084594", angles="xy", scale_units="xy", width=0.005,
        scale=longest / (1.5 * spacing),
    )  # fmt: skip
    panel.set_title(title, fontsize=9)
    reach = float(grid.max()) + spacing
    panel.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xticks=[], yticks=[])
