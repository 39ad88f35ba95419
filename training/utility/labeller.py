"""The classifier that labels the rows whose labels are not known. It learns from these rows too.

FixMatch (Sohn 2020): a row that the classifier reads surely must be read alike once it is augmented.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.data import DataConfig
from training.data.augment import Augment
from training.data.training_set import Examples, as_floats
from training.utility.classifier import ClassifierOptions, Draw, train

ROWS_PER_LABELLED = 2  # rows of a batch that are taken without labels, for each that has one
SURE = 0.8  # probability with which such a row must be read, or it teaches nothing


def teach_labeller(
    reader: nn.Module,
    draw: Draw,
    rows: Tensor,
    augment: Augment,
    validation: Examples,
    data: DataConfig,
    options: ClassifierOptions,
    seed: int,
) -> nn.Module:
    """A copy of a classifier that has learned on: from labelled rows, and from rows of which no label is used.

    reader   the classifier that the labelled rows have taught; where nothing better is found, the copy reads as it does
    draw     labelled rows, augmented
    rows     [n, …] in the data's own units; they are taken without labels
    augment  changes these rows, of which the plain form says how they are to be read
    """
    network = copy.deepcopy(reader)

    def loss_of(generator: torch.Generator) -> Tensor:
        labelled, labels = draw(options.batch_size, generator)
        index = torch.randint(len(rows), (ROWS_PER_LABELLED * options.batch_size,), generator=generator)
        plain = as_floats(rows[index])
        with torch.no_grad():
            sure, read = network(data.standardise(plain)).softmax(1).max(1)
        logits = network(data.standardise(torch.cat([labelled, augment(plain, generator)])))
        of_labelled, of_others = logits[: len(labels)], logits[len(labels) :]
        consistent = F.cross_entropy(of_others, read, reduction="none")[sure > SURE].sum() / len(read)
        loss: Tensor = F.cross_entropy(of_labelled, labels) + consistent
        return loss

    return train(network, loss_of, validation, data, options, seed)
