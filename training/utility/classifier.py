"""The classifier that judges data by what it learns from them. It is the same for every arm."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from scipy.stats import mannwhitneyu
from torch import Tensor, nn
from torch.nn import functional as F

from model.data import DataConfig
from training.data.training_set import Examples, as_floats
from training.seeded import seeded
from training.utility.side_by_side import stop_if_unwanted

Draw = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]
"""(rows, generator) → (rows in the data's own units, labels [rows] int64)"""

READ = 1_000  # rows that are read at a time
DIGITS = 5  # of what is kept


@dataclass(frozen=True)
class Score:
    """How well a classifier reads real rows.

    recalls  of each class: the share of its rows that are read as it
    auc      area under the ROC curve, of two classes; None of more
    """

    recalls: tuple[float, ...]
    auc: float | None = None

    @property
    def balanced_accuracy(self) -> float:
        """The mean of the recalls."""
        return sum(self.recalls) / len(self.recalls)


@dataclass(frozen=True)
class ClassifierOptions:
    """check_every: steps between two looks at the validation rows"""

    steps: int = 1_000
    batch_size: int = 64
    check_every: int = 50
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    width: int = 32


def build_classifier(data: DataConfig, options: ClassifierOptions) -> nn.Module:
    """Standardised rows → logits: a small convolutional network of images, an MLP of points."""
    width, classes = options.width, len(data.labels)
    if data.kind == "points":
        (d,), wide = data.shape, 4 * width
        return nn.Sequential(nn.Linear(d, wide), nn.ReLU(), nn.Linear(wide, wide), nn.ReLU(), nn.Linear(wide, classes))
    layers: list[nn.Module] = []
    before = data.shape[0]
    for after, stride in ((width, 2), (width, 1), (2 * width, 2), (2 * width, 1)):
        layers += [nn.Conv2d(before, after, 3, stride, padding=1), nn.GroupNorm(8, after), nn.ReLU()]
        before = after
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes))


def train_classifier(
    draw: Draw, validation: Examples, data: DataConfig, options: ClassifierOptions, seed: int
) -> nn.Module:
    """A new network, taught with the rows that `draw` gives. Equal seeds begin with equal weights."""
    with seeded(seed):
        network = build_classifier(data, options).to(memory_format=torch.channels_last)

    def loss_of(generator: torch.Generator) -> Tensor:
        rows, labels = draw(options.batch_size, generator)
        return F.cross_entropy(network(data.standardise(rows)), labels)

    return train(network, loss_of, validation, data, options, seed)


def train(
    network: nn.Module,
    loss_of: Callable[[torch.Generator], Tensor],
    validation: Examples,
    data: DataConfig,
    options: ClassifierOptions,
    seed: int,
) -> nn.Module:
    """The network as it was where it read the validation rows best, by balanced accuracy; of equals the first.

    Every call takes `options.steps` steps. The weights before the first count too.

    loss_of  generator → the loss of a batch, by this network
    """
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, options.learning_rate, total_steps=options.steps)
    best, weights = score(network, data, validation).balanced_accuracy, copy.deepcopy(network.state_dict())
    for step in range(1, options.steps + 1):
        stop_if_unwanted()
        optimiser.zero_grad()
        loss_of(generator).backward()  # type: ignore[no-untyped-call]  # torch has no types for it
        optimiser.step()
        schedule.step()
        if step % options.check_every == 0 or step == options.steps:
            accuracy = score(network, data, validation).balanced_accuracy
            if accuracy > best:
                best, weights = accuracy, copy.deepcopy(network.state_dict())
    network.load_state_dict(weights)
    return network.eval()


@torch.inference_mode()
def probabilities(network: nn.Module, data: DataConfig, rows: Tensor) -> Tensor:
    """p(class|row) float32 [n, classes] of rows [n, …] in the data's own units."""
    return torch.cat([network(data.standardise(as_floats(part))).softmax(1) for part in torch.split(rows, READ)])


def score(network: nn.Module, data: DataConfig, rows: Examples) -> Score:
    """Of rows of which every class has some."""
    found = probabilities(network, data, rows.rows)
    read = found.argmax(1)
    recalls = tuple(
        round((read[rows.labels == label] == label).double().mean().item(), DIGITS) for label in range(len(data.labels))
    )
    if len(data.labels) > 2:
        return Score(recalls)
    second = rows.labels == 1
    above = mannwhitneyu(found[second, 1].numpy(), found[~second, 1].numpy()).statistic  # pairs in their right order
    return Score(recalls, round(float(above) / (int(second.sum()) * int((~second).sum())), DIGITS))
