"""Precision and recall of points: strays that distances hardly see."""

import pytest
import torch

from training.data.synthetic_points import CurveSet, GaussianMixture, Spiral
from training.evaluate.point_evaluation import _off_curve
from training.metrics.nearest_neighbours import (
    CHUNK,
    REFERENCE_CHUNK,
    near_shares,
    nearest_distance,
    nearest_neighbour,
)
from training.metrics.point_metrics import energy_distance, mmd_and_null, nearest_label_accuracy

N = 1_500


def real(*seeds: int) -> list[torch.Tensor]:
    return [Spiral().draw(N, torch.Generator().manual_seed(seed))[0] for seed in seeds]


@pytest.mark.parametrize("chunk", [1, 2, 10])
def test_distances_are_to_the_nearest_point_whatever_the_chunks(monkeypatch, chunk):
    points, reference = torch.tensor([[0.0, 0], [3, 4], [6, 8]]), torch.tensor([[9.0, 9], [0, 0], [6, 8]])
    monkeypatch.setattr("training.metrics.nearest_neighbours.CHUNK", chunk)
    monkeypatch.setattr("training.metrics.nearest_neighbours.REFERENCE_CHUNK", chunk)
    distance, index = nearest_neighbour(points, reference)
    assert distance.tolist() == nearest_distance(points, reference).tolist() == [0, 5, 0]
    assert index.tolist() == [1, 1, 2]  # the first of equally near ones


def test_no_more_points_are_compared_at_a_time_than_memory_holds(monkeypatch):
    """All distances between these would take 4 GB."""
    compared = []
    monkeypatch.setattr(
        "training.metrics.nearest_neighbours.distances", lambda a, b: compared.append((a, b)) or a @ b.T
    )
    points, reference = torch.zeros(3_300, 1), torch.zeros(300_000, 1)
    nearest_label_accuracy(points, torch.zeros(3_300), reference, torch.zeros(300_000))
    assert max(len(a) * len(b) for a, b in compared) <= CHUNK * REFERENCE_CHUNK


def test_near_points_far_from_0_keep_their_distances():
    """Hundredths at 900: the product of matrices has errors of a few tenths there."""
    real = 900 + 0.05 * torch.arange(60.0)[:, None]
    halfway = real + 0.025
    torch.testing.assert_close(nearest_distance(halfway, real), torch.full((60,), 0.025), atol=1e-4, rtol=0)
    assert near_shares(halfway, real, real) == (0, 0)
    steps = (real - 900)[:, 0]
    a, b = (0.05 * torch.arange(60.0)[::2, None] + shift for shift in (0, 0.05))
    assert energy_distance(a + 900, b + 900) == pytest.approx(energy_distance(a, b), rel=1e-2)
    assert mmd_and_null(a + 900, b + 900)[0] == pytest.approx(mmd_and_null(a, b)[0], rel=1e-2)
    assert nearest_label_accuracy(real + 0.01, steps, real, steps) == 1


def test_real_points_have_the_precision_and_recall_of_real_points():
    found = torch.tensor([near_shares(*real(i, i + 10, i + 20)) for i in range(8)])
    torch.testing.assert_close(found.mean(0), torch.full((2,), 0.99), atol=0.008, rtol=0)


def test_a_few_strays_cost_precision_and_a_lost_part_costs_recall():
    samples, one, other = real(1, 2, 3)
    precision, recall = near_shares(samples, one, other)
    strays = samples.clone()
    strays[: N // 50] = 0.2 * strays[: N // 50] + 3  # outside of the spiral
    assert near_shares(strays, one, other)[0] == pytest.approx(precision - 0.02, abs=0.003)
    half = torch.where((samples[:, :1] < 0), samples.flip(0), samples)
    half = half[half[:, 0] > 0][: N // 3].repeat(4, 1)[:N]
    assert near_shares(half, one, other)[1] < recall - 0.3


def test_the_distance_from_the_curve_is_that_of_the_spiral_and_only_a_curve_has_one():
    spiral = Spiral()
    assert isinstance(spiral, CurveSet) and not isinstance(GaussianMixture(), CurveSet)
    (points,) = real(4)
    assert nearest_distance(points, spiral.curve).max() < 0.003
    # Along the normal of the curve, a point is as far from it as it was moved, up to the next arm.
    tangent = spiral.curve[4001] - spiral.curve[3999]
    normal = torch.stack([-tangent[1], tangent[0]]) / tangent.norm()
    moved = spiral.curve[4000] + torch.tensor([[0.04], [0.06], [0.15]]) * normal
    distance = nearest_distance(moved, spiral.curve)
    torch.testing.assert_close(distance, torch.tensor([0.04, 0.06, 0.15]), atol=1e-3, rtol=0)
    found = _off_curve(torch.cat([distance, torch.tensor([0.25])]))
    assert found == {"off_curve": 0.75, "far_off_curve": 0.25, "farthest_from_curve": 0.25}
