"""The label of a row that is asked for nothing."""

import numpy as np
import pytest
import torch

from model.label_prior import drawn_labels
from model.noise import MAX_SEED, normal, sample_seeds, uniform

SHARES = (0.16, 0.48, 0.0, 0.36)


def seeds(first: int, n: int) -> torch.Tensor:
    return torch.from_numpy(sample_seeds(first, n))


def test_labels_are_as_frequent_as_their_shares():
    n = 20_000
    counts = np.bincount(drawn_labels(seeds(0, n), SHARES).numpy(), minlength=len(SHARES))
    expected = np.array(SHARES) * n
    assert (np.abs(counts - expected) <= 4 * np.sqrt(expected)).all()  # so a share of 0 is never drawn


@pytest.mark.parametrize("first", [0, 2**32 - 3, MAX_SEED - 2])
def test_a_label_depends_on_its_own_seed_alone(first):
    together = drawn_labels(seeds(first, 8), SHARES)
    assert together.tolist() == [drawn_labels(seed.unsqueeze(0), SHARES).item() for seed in seeds(first, 8)]


def test_a_label_is_where_the_rows_number_falls_among_the_shares():
    u = uniform(seeds(5, 300))
    assert ((u > 0) & (u < 1)).all() and u.dtype == torch.float64
    expected = [0 if one < 0.16 else 1 if one < 0.64 else 3 for one in u.tolist()]
    assert drawn_labels(seeds(5, 300), SHARES).tolist() == expected


@pytest.mark.parametrize("shares", [(1.0,), (0.0, 1.0), (1.0, 0.0)])
def test_a_certain_label_is_always_drawn(shares):
    assert set(drawn_labels(seeds(0, 500), shares).tolist()) == {shares.index(1.0)}


def test_a_label_says_nothing_of_the_noise():
    n = 5_000
    noise = normal(seeds(0, n), torch.zeros(n, dtype=torch.int64), (1,)).flatten().double()
    assert abs(torch.corrcoef(torch.stack([noise, uniform(seeds(0, n))]))[0, 1].item()) < 4 / np.sqrt(n)
