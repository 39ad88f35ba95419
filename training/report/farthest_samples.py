"""The samples that are farthest from real data: a reader sees the worst, and not only a sheet."""

from pathlib import Path

import numpy as np
import torch

from model.checkpoints.denoiser import DenoiserCheckpoint
from model.conditions import NO_LABEL
from training.data import trained_on
from training.data.training_set import TrainingSet
from training.generate import generate, labelled, labels_in_proportion
from training.metrics.nearest_neighbours import nearest_distance
from training.pictures import plane, plot_points
from training.plotting import plt
from training.report.image_grid import Draw
from training.report.pipeline import Pipeline

FARTHEST = 20
OF = 5_000  # samples, of the seeds 0, 1, …


def of_points(pipeline: Pipeline, device: torch.device) -> tuple[str, Draw]:
    """(name, picture): the farthest of the samples that the card advises, over the others and over real points."""
    return pipeline.picture("farthest"), lambda path: _draw(pipeline.checkpoint, path, device)


def _draw(checkpoint: DenoiserCheckpoint, path: Path, device: torch.device) -> None:
    config, sampling = checkpoint.config, checkpoint.config.sampling
    data = trained_on(config)
    labels = _labels(data) if config.data.labels else np.full(OF, NO_LABEL)
    points = generate(checkpoint, labelled(labels, sampling), sampling, device=device)
    real = data.held_out.rows
    distance = nearest_distance(config.data.standardise(points), config.data.standardise(real))
    farthest = distance.argsort(descending=True)[:FARTHEST]

    project, names = plane(real, config.data)
    figure, panels = plt.subplots(1, 2, figsize=(11, 5.5), dpi=110)
    for panel, shown in zip(panels, (torch.arange(OF), farthest), strict=True):
        plot_points(panel, project(real), torch.full((len(real),), NO_LABEL), names, equal=config.data.one_unit)
        plot_points(panel, project(points[shown]), torch.from_numpy(labels)[shown], names, equal=config.data.one_unit)
    places = project(points[farthest])
    if places.shape[1] == 2:
        panels[1].scatter(*places.T, s=60, facecolors="none", edgecolors="crimson", linewidths=1)
    panels[0].set_title(f"{OF:,} samples over real points", fontsize=9)
    furthest, nearest = distance[farthest[0]].item(), distance[farthest[-1]].item()
    panels[1].set_title(f"the {len(farthest)} farthest: {nearest:.3g} … {furthest:.3g} from real points", fontsize=9)
    figure.savefig(path, bbox_inches="tight")
    plt.close(figure)


def _labels(data: TrainingSet) -> np.ndarray:
    """OF labels, as often as among real rows."""
    known = data.held_out.labels if data.examples is None else data.examples.labels
    return labels_in_proportion(np.bincount(known.numpy(), minlength=len(data.config.labels)), OF)
