"""The training sets: what they draw has the density, the labels and the scale that they promise."""

import math

import numpy as np
import pytest
import torch

from training.data import training_set
from training.data.data_section import BuiltInSection
from training.data.synthetic_points import GaussianMixture, Spiral
from training.generate import labels_in_proportion
from training.recipe import DistortionSection
from training.tasks.judge import distort


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", ["gaussian", "spiral"])
def test_points_are_their_generators_and_labelled(name):
    data = training_set(BuiltInSection(dataset=name))
    points, labels = data.draw(500, generator(3))
    again, _ = data.draw(500, generator(3))
    assert torch.equal(points, again)
    assert points.shape == (500, 2)
    assert points.dtype == torch.float32
    assert labels.dtype == torch.int64
    assert set(labels.tolist()) == set(range(len(data.config.labels)))


@pytest.mark.parametrize("name", ["gaussian", "spiral"])
def test_a_network_sees_unit_variance(name):
    data = training_set(BuiltInSection(dataset=name))
    seen = data.config.standardise(data.draw(100_000, generator())[0])
    assert seen.mean(0).abs().max() < 0.02
    assert (seen.std(0) - 1).abs().max() < 0.02


def test_the_mixture_is_two_standard_normals_at_4_4_and_minus_4_minus_4():
    points, labels = GaussianMixture().draw(100_000, generator())
    assert labels.double().mean().item() == pytest.approx(0.5, abs=0.01)
    for label, mean in enumerate((4.0, -4.0)):
        component = points[labels == label]
        assert component.mean(0).tolist() == pytest.approx([mean, mean], abs=0.03)
        assert torch.cov(component.T).flatten().tolist() == pytest.approx([1, 0, 0, 1], abs=0.03)


def test_the_spiral_is_r_5_theta_and_its_label_the_turn():
    spiral = Spiral()
    points, labels = spiral.draw(20_000, generator())
    curve = points * spiral._std + spiral._mean
    theta = curve.norm(dim=1) / 5
    assert theta.max() <= 5 * math.pi + 1e-3
    on_curve = 5 * theta.unsqueeze(1) * torch.stack([theta.cos(), theta.sin()], dim=1)
    assert (curve - on_curve).norm(dim=1).max() < 1e-3
    away = (theta / (2 * math.pi) - (theta / (2 * math.pi)).round()).abs() > 1e-4
    assert torch.equal(labels[away], (theta / (2 * math.pi)).long()[away])


@pytest.mark.usefixtures("mnist_files")
def test_digits_are_whole_bytes_and_drawn_by_the_generator():
    data = training_set(BuiltInSection(dataset="mnist"))
    assert (len(data.examples), len(data.held_out)) == (60_000, 10_000)
    images, labels = data.draw(64, generator(1))
    again, _ = data.draw(64, generator(1))
    assert torch.equal(images, again)
    assert images.shape == (64, 1, 28, 28)
    assert images.min() == 0
    assert images.max() == 255
    assert set(labels.tolist()) <= set(range(10))
    seen = data.config.standardise(images)
    assert (seen.min(), seen.max()) == (-1, 1)
    of_label = data.examples.rows[data.examples.labels == labels[0]]
    assert (of_label == images[0]).flatten(1).all(1).any()  # as it is: a mirrored digit is none


def test_distorted_images_are_moved_a_little_and_never_flipped():
    images = -torch.ones(400, 1, 28, 28)
    images[:, :, 8:20, 16:20] = 1  # a bar right of the middle stays right of the middle
    moved = distort(images, DistortionSection(), generator())
    assert moved.shape == images.shape
    assert (moved.min(), moved.max()) == (-1, 1)
    assert not torch.equal(moved[0], moved[1])
    mass = (moved + 1).sum(1)
    column = (mass.sum(1) * torch.arange(28)).sum(1) / mass.sum((1, 2))
    assert column.min() > 13.5
    assert column.std() > 0.5


def test_labels_are_shared_out_in_proportion():
    assert labels_in_proportion(np.array([3, 1]), 8).tolist() == [0] * 6 + [1] * 2
    counts = np.array([5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949])
    for n in (1, 7, 1000, 9999):
        labels = labels_in_proportion(counts, n)
        assert len(labels) == n
        assert np.abs(np.bincount(labels, minlength=10) - counts / counts.sum() * n).max() < 1
