"""Train on synthetic, test on real: what trees learn is what the rows tell, and classes count alike."""

import torch

from training.data.training_set import Examples
from training.metrics.synthetic_training import balanced_accuracy


def rows(*counts: int) -> Examples:
    """So many rows of each class, which lies around its number in the first of two columns."""
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    noise = torch.randn(len(labels), 2, generator=torch.Generator().manual_seed(0))
    return Examples(torch.stack([labels.float(), torch.zeros(len(labels))], 1) + 0.01 * noise, labels)


def test_trees_read_classes_that_lie_apart_and_none_that_they_never_saw():
    assert balanced_accuracy(rows(60, 60), rows(90, 10)) == 1
    assert balanced_accuracy(rows(60, 60, 60), rows(50, 20, 10)) == 1
    assert balanced_accuracy(rows(60, 60), rows(20, 20, 200)) == 2 / 3
    assert balanced_accuracy(rows(60), rows(20, 80)) == 1 / 2


def test_a_class_of_one_row_is_no_obstacle_among_many_rows():
    assert balanced_accuracy(rows(10_000, 1), rows(20, 20)) == 1 / 2
