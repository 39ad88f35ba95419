"""Pseudo-labels for rows without labels: k-means on the features that a denoiser's own network has of them.

The activations of a denoiser at little noise are good features (Xiang 2023), and a denoiser that reads clusters draws
better samples than one that reads nothing (Hu 2023).
"""

from dataclasses import replace

import torch
from sklearn.cluster import KMeans
from torch import Tensor
from torch.nn import functional as F

from model.checkpoints.denoiser import DenoiserCheckpoint
from model.networks.unet import UNet
from model.prediction import diffused
from training.data.training_set import DataError, FiniteSet, as_floats, some_rows

NOISE_LEVELS = (0.05, 0.15, 0.3)  # t/T: little noise, since more hides what tells two images of one kind apart
BATCH = 256  # rows in one pass of the network
STARTS = 4  # of k-means, of which the best counts
MOST_FITTED = 50_000  # rows that the centres are fitted to; more take long, and move them little


def in_clusters(data: FiniteSet, count: int, features: Tensor, seed: int) -> FiniteSet:
    """The set with a cluster, 0 … count − 1, for each row that is trained on. Its examples stay without labels.

    features  float32 [n, f] of these rows; each of the f counts alike, whatever its unit

    Raises DataError where there are fewer different rows than clusters.
    """
    scaled = (features - features.mean(0)) / features.std(0).clamp(min=1e-6)
    fitted = some_rows(scaled, MOST_FITTED)
    different = len(torch.unique(fitted, dim=0))
    if different < count:
        raise DataError(f"{count} clusters of {different} different rows: ask for fewer")
    k_means = KMeans(count, n_init=STARTS, random_state=seed).fit(fitted.numpy())
    return replace(data, clusters=torch.from_numpy(k_means.predict(scaled.numpy())).long())


def cluster_shares(data: FiniteSet) -> tuple[float, ...]:
    """The share of each cluster among the rows; empty for a set without clusters."""
    return () if data.clusters is None else tuple((torch.bincount(data.clusters).double() / len(data)).tolist())


def row_features(data: FiniteSet) -> Tensor:
    """The rows themselves, float32 [n, f] in the network's range: what points are clustered by."""
    return data.config.standardise(as_floats(data.examples.rows)).flatten(1).float()


def network_features(data: FiniteSet, denoiser: DenoiserCheckpoint) -> Tensor:
    """What images are clustered by, float32 [n, f]: the activations in the middle of the denoiser's UNet, averaged over
    pixels, at each of NOISE_LEVELS.

    Raises ValueError where the denoiser has no such network, or reads images of another shape.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network, shape = denoiser.network_on(device), data.config.shape
    if not isinstance(network, UNet) or denoiser.config.distilled is not None:
        raise ValueError(f"{denoiser.name} is no many-step UNet: its activations are no features of images")
    if denoiser.data.shape != shape:
        raise ValueError(f"{denoiser.name} reads images of the shape {list(denoiser.data.shape)}, not {list(shape)}")
    return torch.cat(
        [
            _middle(network, denoiser, denoiser.data.standardise(as_floats(rows)).float().to(device)).cpu()
            for rows in torch.split(data.examples.rows, BATCH)
        ]
    )


@torch.no_grad()
def _middle(network: UNet, denoiser: DenoiserCheckpoint, x0: Tensor) -> Tensor:
    """[rows, f], with the same noise in every row, so that noise tells no rows apart."""
    rows, device = len(x0), x0.device
    noise = torch.randn(x0.shape[1:], generator=torch.Generator().manual_seed(0)).to(device).expand_as(x0)
    alpha_bar = torch.from_numpy(denoiser.schedule.alpha_bar).float().to(device)
    unconditional = denoiser.example().to(device).expand(rows, *denoiser.example().shape)
    found = []
    for level in NOISE_LEVELS:
        t = torch.full((rows,), max(1, round(level * denoiser.schedule.T)), device=device)
        embedding = F.silu(network.embedding(t, unconditional))
        activations = network.descended(network.entered(diffused(x0, noise, alpha_bar[t])), embedding)[-1]
        found.append(activations.mean((2, 3)))
    return torch.cat(found, dim=1)
