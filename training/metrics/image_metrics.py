"""What the judge says of images: label accuracy, Fréchet distance, precision and recall."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy import linalg
from torch import Tensor

from training.data.training_set import in_random_order, some_rows
from training.generate import labels_in_proportion

NEIGHBOURS = 3  # k of the k-NN precision and recall (Kynkäänniemi 2019, section 3.1)
CHUNK = 1000
FEWEST = 20  # images of each sort: fewer have no distribution to speak of


@dataclass(frozen=True)
class ImageMetrics:
    """frechet_floor is that of real test images at the same count, against the same training images."""

    compared: int  # samples, and as many real images
    frechet: float
    frechet_floor: float
    precision: float
    recall: float

    @property
    def frechet_ratio(self) -> float:
        return self.frechet / self.frechet_floor


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Between Gaussians fitted to features [n, d] and [m, d]: |μ_a − μ_b|² + tr(Σ_a + Σ_b − 2(Σ_aΣ_b)^½)
    (Heusel 2017, eq. 6)."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    covariance_a, covariance_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    # The eigenvalues of a product of two positive semi-definite matrices are real and ≥ 0; rounding aside.
    root_trace = np.sqrt(np.maximum(linalg.eigvals(covariance_a @ covariance_b).real, 0)).sum()
    mean = np.square(a.mean(0) - b.mean(0)).sum()
    return float(mean + np.trace(covariance_a) + np.trace(covariance_b) - 2 * root_trace)


def precision_recall(real: Tensor, generated: Tensor, k: int = NEIGHBOURS) -> tuple[float, float]:
    """(share of generated features among the real ones, share of real among the generated) (Kynkäänniemi 2019, eq. 2).

    A feature is among others if it is nearer to one of them than that one's k-th neighbour is. [n, d] each, the same n.
    """
    return _share_within(generated, real, k), _share_within(real, generated, k)


def _share_within(points: Tensor, reference: Tensor, k: int) -> float:
    return among(points, reference, k).double().mean().item()


def among(points: Tensor, reference: Tensor, k: int = NEIGHBOURS) -> Tensor:
    """Which features [n, d] lie among others [m, d], bool [n]; see `precision_recall`."""
    radius = torch.cat(
        [torch.cdist(chunk, reference).kthvalue(k + 1, dim=1).values for chunk in reference.split(CHUNK)]
    )
    inside = [(torch.cdist(chunk, reference) <= radius).any(1) for chunk in points.split(CHUNK)]
    return torch.cat(inside)


def image_metrics(
    features: Tensor, train: Tensor, test: Tensor, classes: tuple[Tensor, Tensor] | None = None
) -> ImageMetrics | None:
    """Figures of generated images, by the features [n, d] that the judge finds in them.

    train, test  features of real images; n of `test` make the floor, n of `train` precision and recall
    classes      (of the samples, of the rows of `test`), for samples that have classes in proportion: so have those of
                 either that are compared, or how many fell to each class would be most of their distance

    Where there are fewer of either than n, as many are compared; None for fewer than FEWEST. They are drawn at random:
    samples lie class by class, and the first half of MNIST's test images is the easier one.
    """
    n = min(len(features), len(train), len(test))
    if n < FEWEST:
        return None
    of_samples, of_test = classes or (None, None)
    features, floor = _of_each_class(features, of_samples, n), _of_each_class(test, of_test, n)
    precision, recall = precision_recall(some_rows(train, n), features)
    return ImageMetrics(
        compared=n,
        frechet=frechet_distance(features.numpy(), train.numpy()),
        frechet_floor=frechet_distance(floor.numpy(), train.numpy()),
        precision=precision,
        recall=recall,
    )


def _of_each_class(features: Tensor, classes: Tensor | None, n: int) -> Tensor:
    """n rows, or all; each class as often as among all of them, where they have classes."""
    if classes is None or len(features) == n:
        return some_rows(features, n)
    order = in_random_order(len(classes))
    wanted = np.bincount(labels_in_proportion(np.bincount(classes.numpy()), n))
    return features[torch.cat([order[classes[order] == label][:count] for label, count in enumerate(wanted)])]
