"""Replicas follow the work that waits. It needs no Ray."""

from types import SimpleNamespace

import pytest

from ops.ray.autoscaling import QUEUED_SECONDS, by_queued_seconds


@pytest.mark.parametrize(
    ("reported", "replicas"),
    [({"a": 0.0}, 1), ({"a": 5.0}, 1), ({"a": 5.1}, 2), ({"a": 30.0, "b": 10.0}, 8), ({}, 3)],
)
def test_replicas_are_as_many_as_keep_five_seconds_in_each(reported, replicas):
    context = SimpleNamespace(aggregated_metrics={QUEUED_SECONDS: reported}, target_num_replicas=3)
    assert by_queued_seconds(context) == (replicas, {})


def test_before_any_metric_it_stays_as_it_is():
    assert by_queued_seconds(SimpleNamespace(aggregated_metrics=None, target_num_replicas=3)) == (3, {})
