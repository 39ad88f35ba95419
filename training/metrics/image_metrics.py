"""Metrics of images on the judge's features: Fréchet distance, precision and recall."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import linalg
from torch import Tensor

from training.data.training_set import in_random_order, some_rows
from training.generate import labels_in_proportion

NEIGHBOURS = 3  # k of the k-NN precision and recall (Kynkäänniemi 2019, section 3.1)
CHUNK = 1000
FEWEST = 20  # images on either side: fewer do not show a distribution


@dataclass(frozen=True)
class ImageMetrics:
    """Metrics of generated images.

    compared          how many samples were compared, with as many real images
    frechet           Fréchet distance from the samples to the training images
    frechet_floor     the same from as many real test images, in their own proportions, to the training images
    precision, recall shares in 0 … 1, see `precision_recall`
    """

    compared: int
    frechet: float
    frechet_floor: float
    precision: float
    recall: float

    @property
    def frechet_ratio(self) -> float:
        return self.frechet / self.frechet_floor


def frechet_distance(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """The Fréchet distance between Gaussians fitted to features [n, d] and [m, d] (Heusel 2017, eq. 6):
    |μ_a − μ_b|² + tr(Σ_a + Σ_b − 2(Σ_aΣ_b)^½)."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    covariance_a, covariance_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    # The eigenvalues of a product of two positive semi-definite matrices are real and ≥ 0, except for rounding.
    root_trace = np.sqrt(np.maximum(linalg.eigvals(covariance_a @ covariance_b).real, 0)).sum()
    mean = np.square(a.mean(0) - b.mean(0)).sum()
    return float(mean + np.trace(covariance_a) + np.trace(covariance_b) - 2 * root_trace)


def precision_recall(real: Tensor, generated: Tensor, k: int = NEIGHBOURS) -> tuple[float, float]:
    """(precision, recall): the shares of generated features among real ones, and of real features among generated ones
    (Kynkäänniemi 2019, eq. 2). [n, d] each, the same n."""
    return among(generated, real, k).double().mean().item(), among(real, generated, k).double().mean().item()


def among(points: Tensor, reference: Tensor, k: int = NEIGHBOURS) -> Tensor:
    """Which of the points [n, d] lie among the reference [m, d]: bool [n].

    A point lies among the reference if some reference point is nearer to it than to its own k-th neighbour.
    """
    radius = torch.cat(
        [torch.cdist(chunk, reference).kthvalue(k + 1, dim=1).values for chunk in torch.split(reference, CHUNK)]
    )
    inside = [(torch.cdist(chunk, reference) <= radius).any(1) for chunk in torch.split(points, CHUNK)]
    return torch.cat(inside)


def image_metrics(
    features: Tensor, train: Tensor, test: Tensor, classes: tuple[Tensor, Tensor] | None = None
) -> ImageMetrics | None:
    """Metrics of generated images by the judge's features of them; None if fewer than FEWEST can be compared.

    features     [n, d], of the samples
    train, test  [·, d], of real images: `test` gives the floor, `train` gives precision and recall
    classes      (of the samples [n], of `test` [·]) if the samples have classes in the training proportions

    As many samples as real images are compared, chosen at random: samples lie class by class, and the first half of
    MNIST's test images is easier than the second. With `classes` each choice keeps its own rows' proportions exactly;
    otherwise chance differences in the classes' shares would be most of the distance. So samples have the training
    proportions, and the floor has those of `test`. Where these differ, as with data split by group, the floor is higher
    and the ratio looks better.
    """
    n = min(len(features), len(train), len(test))
    if n < FEWEST:
        return None
    sample_classes, test_classes = classes or (None, None)
    features, floor = _some_in_proportion(features, sample_classes, n), _some_in_proportion(test, test_classes, n)
    precision, recall = precision_recall(some_rows(train, n), features)
    return ImageMetrics(
        compared=n,
        frechet=frechet_distance(features.numpy(), train.numpy()),
        frechet_floor=frechet_distance(floor.numpy(), train.numpy()),
        precision=precision,
        recall=recall,
    )


def _some_in_proportion(features: Tensor, classes: Tensor | None, n: int) -> Tensor:
    """n of the rows, or all; with classes, each class as often as among all rows."""
    if classes is None or len(features) == n:
        return some_rows(features, n)
    order = in_random_order(len(classes))
    wanted = np.bincount(labels_in_proportion(np.bincount(classes.numpy()), n))
    return features[torch.cat([order[classes[order] == label][:count] for label, count in enumerate(wanted)])]
