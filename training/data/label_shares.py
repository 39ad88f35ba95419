"""How often each label occurs among the rows that a network is trained on."""

import torch

from training.data.synthetic_points import EndlessSet
from training.data.training_set import TrainingSet, finite


def label_shares(data: TrainingSet) -> tuple[float, ...]:
    """The share of each label among the rows with a label, in the order of the labels; empty if none has one."""
    if isinstance(data, EndlessSet):
        return data.label_shares
    labels = finite(data).labels
    counts = torch.bincount(labels[labels >= 0], minlength=len(data.config.labels)).double()
    return tuple((counts / counts.sum()).tolist()) if counts.sum() > 0 else ()
