"""What is remembered is found, what is not is not; and real rows can be told from what is not like them."""

import pytest
import torch

from model.data import DataConfig
from model.nearest import nearest
from training.data.synthetic_points import GaussianMixture
from training.data.training_set import DataError, Examples, FiniteSet
from training.metrics.memorisation import memorisation
from training.metrics.two_sample import two_sample_accuracy

IMAGES = DataConfig(dataset="own", kind="images", shape=(3, 4, 4), mean=(127.5,), std=(127.5,), clip=1.0)

POINTS = DataConfig(dataset="own", kind="points", shape=(2,))


def noise(n: int, seed: int) -> torch.Tensor:
    return torch.randint(0, 256, (n, *IMAGES.shape), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def own(trained: int = 600, held_out: int = 300) -> FiniteSet:
    labels = torch.zeros(trained, dtype=torch.int64)
    return FiniteSet(IMAGES, Examples(noise(trained, 0), labels), Examples(noise(held_out, 1), labels[:held_out]))


def test_the_nearest_is_found_wherever_it_lies_and_its_distance_is_a_root_mean_square(monkeypatch):
    monkeypatch.setattr("model.nearest.CHUNK", 7)
    training = noise(60, 0)
    index = torch.tensor([59, 0, 31])
    rows = training[index].float()
    rows[:, 0, 0, 0] += torch.tensor([0.0, 12.75, -25.5])
    found = nearest(rows, training, IMAGES)
    assert torch.equal(found.neighbours, training[index].float())
    # One of 48 values differs, by so much of 127.5.
    torch.testing.assert_close(found.distance, torch.tensor([0.0, 0.1, 0.2]) / 48**0.5, rtol=1e-4, atol=1e-6)
    closest, neighbours = found.closest(2)
    assert torch.equal(closest, rows[:2]) and torch.equal(neighbours, training[index[:2]].float())


def test_the_nearest_is_what_a_whole_table_of_distances_says():
    rows, training = noise(20, 3), noise(50, 0)
    distances = torch.cdist(
        IMAGES.standardise(rows.float()).flatten(1), IMAGES.standardise(training.float()).flatten(1)
    )
    found = nearest(rows, training, IMAGES)
    torch.testing.assert_close(found.distance, distances.min(1).values / 48**0.5, rtol=1e-4, atol=1e-5)
    assert torch.equal(found.neighbours, training[distances.argmin(1)].float())


def test_copies_are_seen_and_fresh_draws_are_not():
    data = own()
    copies = memorisation((data.examples.rows[:200].float() + 1).clamp(0, 255), data).metrics
    assert copies["nearer_than_real"] == 1
    assert copies["nearest_training"] < 0.1 * copies["nearest_training_of_real"]
    fresh = memorisation(noise(400, 2).float(), data).metrics
    assert fresh["nearer_than_real"] < 0.05
    assert fresh["nearest_training"] == pytest.approx(fresh["nearest_training_of_real"], rel=0.05)
    half = memorisation(torch.cat([noise(200, 2), data.examples.rows[:200]]).float(), data).metrics
    assert half["nearer_than_real"] == pytest.approx(0.5, abs=0.05)
    assert (fresh["samples"], fresh["held_out"], fresh["trained_on"]) == (400, 300, 600)


@pytest.mark.parametrize("held_out", [1, 4, 8, 20, 300])
def test_what_is_expected_by_chance_is_what_fresh_draws_have_in_the_mean(held_out):
    found, expected = [], set()
    for seed in range(400):
        drawn = torch.rand(50 + held_out + 60, 2, generator=torch.Generator().manual_seed(seed)).split(
            [50, held_out, 60]
        )
        training, real = (Examples(rows, torch.zeros(len(rows), dtype=torch.int64)) for rows in drawn[:2])
        metrics = memorisation(drawn[2], FiniteSet(POINTS, training, real)).metrics
        found.append(metrics["nearer_than_real"])
        expected.add(metrics["nearer_than_real_by_chance"])
    error = torch.tensor(found).std().item() / len(found) ** 0.5
    assert len(expected) == 1
    # Between the two nearest of few rows distances are not quite uniform.
    assert sum(found) / len(found) == pytest.approx(expected.pop(), rel=0.1, abs=3 * error)


def test_copies_are_seen_where_held_out_rows_equal_training_rows_by_chance():
    """Dice: no sample is nearer than a row that is the same."""

    def dice(n: int, seed: int) -> torch.Tensor:
        return torch.randint(0, 6, (n, 4), generator=torch.Generator().manual_seed(seed)).float()

    four = POINTS.model_copy(update={"shape": (4,)})
    training, held_out = (Examples(dice(n, n), torch.zeros(n, dtype=torch.int64)) for n in (300, 200))
    data = FiniteSet(four, training, held_out)
    seen = {tuple(row) for row in training.rows.tolist()}
    for samples in (training.rows[:150], dice(150, 7)):
        metrics = memorisation(samples, data).metrics
        assert not {"nearer_than_real", "nearer_than_real_by_chance"} & metrics.keys()
        for name, rows in (("equal_to_training", samples), ("equal_to_training_of_real", held_out.rows)):
            assert metrics[name] == pytest.approx(
                sum(tuple(row) in seen for row in rows.tolist()) / len(rows), rel=1e-4
            )
    assert memorisation(training.rows[:150], data).metrics["equal_to_training"] == 1


def test_a_mirror_image_is_a_copy_where_training_images_were_mirrored():
    data = own()
    mirror_images = data.examples.rows[:100].flip(-1).float()
    assert memorisation(mirror_images, data).metrics["nearer_than_real"] < 0.1
    assert memorisation(mirror_images, data, mirrored=True).metrics["nearer_than_real"] == 1


def test_what_is_checked_is_of_all_classes_and_no_more_than_that(monkeypatch):
    monkeypatch.setattr("training.metrics.memorisation.CHECKED", 50)
    data = own()
    class_by_class = torch.cat([data.examples.rows[:100], noise(100, 2)]).float()
    metrics = memorisation(class_by_class, data).metrics
    assert metrics["samples"] == metrics["held_out"] == 50
    assert 0.2 < metrics["nearer_than_real"] < 0.8


def test_a_set_without_end_has_no_examples_to_memorise():
    with pytest.raises(DataError, match="made afresh without end"):
        memorisation(torch.zeros(10, 2), GaussianMixture())


def normal(n: int, d: int, seed: int) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("d", [1, 13])
def test_draws_of_one_distribution_cannot_be_told_apart(d):
    """Whichever it says of 400 rows, it is right of half of them, ± 4 standard errors."""
    assert two_sample_accuracy(normal(200, d, 0), normal(200, d, 1)) == pytest.approx(0.5, abs=4 * 0.5 / 400**0.5)


def test_what_differs_is_told_apart_whatever_the_units():
    real = normal(300, 3, 0) * torch.tensor([1.0, 1000.0, 0.001])
    shifted = (normal(300, 3, 1) + 1) * torch.tensor([1.0, 1000.0, 0.001])
    assert two_sample_accuracy(shifted, real) > 0.75
    # A distance of 1 in each of three dimensions: the best there is says Φ(√3/2) = 0.807.
    assert two_sample_accuracy(shifted, real) < 0.85
    correlated = normal(300, 1, 2).expand(-1, 2) + 0.1 * normal(300, 2, 3)  # of the same margins as independent ones
    assert two_sample_accuracy(correlated, normal(300, 2, 4)) > 0.75
