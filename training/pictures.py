"""Samples as a picture for a person to look at."""

from pathlib import Path

import matplotlib
import numpy as np
from torch import Tensor
from torchvision.utils import save_image

from model.data import DataConfig

matplotlib.use("Agg")
from matplotlib import pyplot as plt


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
    axes.scatter(rows[:, 0], rows[:, 1], c=labels, cmap="viridis", s=4, linewidths=0)
    axes.set_aspect("equal")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, bbox_inches="tight")
    plt.close(figure)
