"""Which rows are held out: values that repeat by nature stay in training, and copies of a row are never split."""

import numpy as np
import pytest

from training.data.split import digests, discrete_rows, held_out

RNG = np.random.default_rng(0)


def split(points: np.ndarray, labels: np.ndarray | None = None, share: float = 0.1) -> np.ndarray:
    labels = np.zeros(len(points), dtype=np.int64) if labels is None else labels
    return held_out(digests(points), labels, share, discrete_rows(points))


def zero_inflated(n: int, share: float, columns: int = 1) -> np.ndarray:
    points = RNG.normal(size=(n, columns))
    points[: int(share * n)] = 0
    return points


DISCRETE = {
    "dice": RNG.integers(1, 7, (600, 1)),
    "few dice": RNG.integers(1, 7, (60, 1)),
    "a coin": np.arange(600)[:, None] % 2,
    "a rare hit": (np.arange(1940)[:, None] < 909) * 1.0,
    "two dice": RNG.integers(1, 7, (600, 2)),
    "ages": RNG.binomial(90, 0.5, (10_000, 1)),
    "heights in inches": RNG.binomial(90, 0.86, (505, 1)),
    "counts": RNG.poisson(3, (300, 3)),
    "70 % zeros": zero_inflated(600, 0.7),
    "5 % zeros": zero_inflated(600, 0.05),
    "zeros in both columns": zero_inflated(300, 0.4, 2),
    "a flag beside zeros": np.hstack([zero_inflated(400, 0.5), np.arange(400)[:, None] % 2]),
}


@pytest.mark.parametrize("points", DISCRETE.values(), ids=DISCRETE)
def test_every_discrete_value_is_trained_on_and_held_out_in_proportion(points):
    points = points.astype(np.float64)
    held = split(points)
    assert held.sum() == len(points) // 10
    values, kind, counts = np.unique(points, axis=0, return_inverse=True, return_counts=True)
    trained = np.bincount(kind[~held], minlength=len(values))
    assert (trained[counts > 1] > 0).all()
    often = counts >= 0.04 * len(points)
    assert (trained[often] >= 0.7 * counts[often]).all()


@pytest.mark.parametrize("labels", [np.arange(90) % 3, np.arange(90) // 45])
def test_discrete_values_of_a_class_stay_in_that_class(labels):
    points = (np.arange(90)[:, None] // 3 % 3).astype(np.float64)
    held = split(points, labels)
    for label in np.unique(labels):
        assert set(points[~held & (labels == label), 0]) == {0, 1, 2}
        assert held[labels == label].sum() == 4


@pytest.mark.parametrize("copies", [2, 3, 4])
def test_copies_of_continuous_rows_stay_together(copies):
    points = np.tile(RNG.normal(size=(50, 2)), (copies, 1))
    held = split(points)
    assert held.sum() == pytest.approx(5 * copies, abs=copies)
    assert (held.reshape(copies, 50) == held[:50]).all()


def test_a_discrete_column_beside_a_continuous_one_lets_no_copy_through():
    points = np.hstack([RNG.integers(0, 2, (100, 1)), RNG.normal(size=(100, 1))])
    held = split(np.tile(points, (2, 1)))
    assert np.array_equal(held[:100], held[100:])


def test_an_image_with_very_many_copies_is_trained_on():
    """Without discrete rows, the budget counts copies: a placeholder that is most of a class is not held out."""
    rows = np.concatenate([np.arange(20), np.full(300, 99)])[:, None]
    for seed in range(5):
        held = held_out(digests(rows + 1000 * seed), np.zeros(320, dtype=np.int64), 0.1)
        assert not held[20:].any()
        assert 0 < held.sum() <= 20


def test_the_choice_depends_on_content_alone():
    points = np.concatenate([RNG.integers(1, 7, (300, 1)), RNG.normal(size=(300, 1))])
    labels = np.arange(600) % 2
    order = RNG.permutation(600)
    one, other = split(points, labels), split(points[order], labels[order])
    rows = np.hstack([points, labels[:, None]])
    assert np.array_equal(np.sort(rows[one], axis=0), np.sort(rows[order][other], axis=0))
