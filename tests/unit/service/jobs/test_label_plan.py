"""Labels of any stretch of rows are those of the whole, and their counts are what was asked for."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from model.label_prior import drawn_labels
from service.jobs.label_plan import LabelPlan, even_counts, interleaved


def by_sorting(counts) -> list[int]:
    """The definition, in exact fractions."""
    rows = [(Fraction(2 * j + 1, 2 * m), number) for number, m in enumerate(counts) for j in range(m)]
    return [number for _, number in sorted(rows)]


@pytest.mark.parametrize(
    "counts", [(5,), (3, 3, 3), (0, 7, 1), (1, 1000), (10, 0, 3, 77), (1,) * 40, even_counts(103, 10)]
)
def test_any_stretch_is_what_sorting_all_rows_gives(counts):
    expected, draw = by_sorting(counts), np.random.default_rng(0)
    for _ in range(40):
        first, last = sorted(draw.integers(0, len(expected) + 1, 2).tolist())
        assert interleaved(counts, first, last).tolist() == expected[first:last]
    assert np.bincount(interleaved(counts, 0, len(expected)), minlength=len(counts)).tolist() == list(counts)


def test_ten_million_rows_are_labelled_a_stretch_at_a_time():
    counts = (3_333_333, 1, 6_666_666)
    stretch = interleaved(counts, 4_999_000, 5_001_000)
    assert np.abs(np.bincount(stretch) - [666, 1, 1333]).max() <= 1
    seen = [np.bincount(interleaved(counts, first, first + 10**6), minlength=3) for first in range(0, 10**7, 10**6)]
    assert np.sum(seen, 0).tolist() == list(counts)
    assert all(abs(one[0] - 333_333) <= 2 for one in seen)


def test_even_counts_differ_by_one_at_most():
    assert even_counts(10, 3) == (4, 3, 3) and even_counts(2, 3) == (1, 1, 0)


def test_a_list_and_drawn_labels_go_by_row():
    seeds = np.arange(100, 105)
    assert LabelPlan(classes=(3, 1, 4, 1, 5, 9)).of_rows(2, seeds[:3]).tolist() == [4, 1, 5]
    shares = (0.2, 0.5, 0.3)
    expected = drawn_labels(torch.from_numpy(seeds), shares).tolist()
    assert LabelPlan(shares=shares).of_rows(17, seeds).tolist() == expected
    assert LabelPlan().of_rows(0, seeds) is None
