"""What the judge says of images: label accuracy, Fréchet distance, precision and recall."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy import linalg
from torch import Tensor

NEIGHBOURS = 3  # k of the k-NN precision and recall (Kynkäänniemi 2019, section 3.1)
CHUNK = 1000
SUBSET_SEED = 0
FEWEST = 20  # images of each sort: fewer have no distribution to speak of


@dataclass(frozen=True)
class ImageFigures:
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
    radius = torch.cat(
        [torch.cdist(chunk, reference).kthvalue(k + 1, dim=1).values for chunk in reference.split(CHUNK)]
    )
    inside = [(torch.cdist(chunk, reference) <= radius).any(1) for chunk in points.split(CHUNK)]
    return torch.cat(inside).double().mean().item()


def image_figures(features: Tensor, train: Tensor, test: Tensor) -> ImageFigures | None:
    """Figures of generated images, by the features [n, d] that the judge finds in them.

    train, test  features of real images; n of `test` make the floor, n of `train` precision and recall

    Where there are fewer of either than n, as many are compared; None for fewer than FEWEST. They are drawn at random:
    samples lie class by class, and the first half of MNIST's test images is the easier one.
    """
    n = min(len(features), len(train), len(test))
    if n < FEWEST:
        return None
    features = features if len(features) == n else _subset(features, n)
    precision, recall = precision_recall(_subset(train, n), features)
    return ImageFigures(
        compared=n,
        frechet=frechet_distance(features.numpy(), train.numpy()),
        frechet_floor=frechet_distance(_subset(test, n).numpy(), train.numpy()),
        precision=precision,
        recall=recall,
    )


def _subset(features: Tensor, n: int) -> Tensor:
    order = torch.randperm(len(features), generator=torch.Generator().manual_seed(SUBSET_SEED))
    return features[order[:n]]
