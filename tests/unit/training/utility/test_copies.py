"""The share of samples near labelled rows is the share by chance for a perfect generator, and more for copies."""

import pytest
import torch

from model.data import DataConfig
from training.data.training_set import Examples
from training.utility.copies import mean_of_known, nearness

CONFIG = DataConfig(dataset="two", kind="points", shape=(2,), labels=("common", "rare"))
LABELLED, GENERATED = 20, 500  # of each class


def real(counts: tuple[int, int], seed: int) -> Examples:
    """The rare class is far tighter than the common one: its rows lie nearer to each other."""
    labels = torch.cat([torch.full((n,), label) for label, n in enumerate(counts)])
    spread, centre = torch.tensor([1.0, 0.05])[labels, None], torch.tensor([0.0, 4.0])[labels, None]
    noise = torch.randn(len(labels), 2, generator=torch.Generator().manual_seed(seed))
    return Examples(centre + spread * noise, labels)


@pytest.mark.parametrize(
    "counts, chance", [((1_000, 1_000), 0.012), ((1_960, 40), (5.99 / 501 + 1.39 / 41) / 2), ((10, 10), 1.09 / 11)]
)
def test_a_perfect_generator_comes_to_the_share_by_chance(counts, chance):
    found = []
    for trial in range(60):
        generated, labelled, test = (
            real(of, 3 * trial + part) for part, of in enumerate(((GENERATED,) * 2, (LABELLED,) * 2, counts))
        )
        found.append(nearness(generated, labelled.rows, test, CONFIG))
    nearer = torch.tensor([one.nearer for one in found])
    assert found[0].by_chance == pytest.approx(chance, rel=0.02)
    assert nearer.mean().item() == pytest.approx(found[0].by_chance, abs=3 * nearer.std().item() / 60**0.5)


def test_copies_are_many_more_than_by_chance():
    labelled = real((LABELLED,) * 2, 0)
    few = torch.randint(2 * LABELLED, (400,), generator=torch.Generator().manual_seed(0))
    copies = Examples(labelled.rows[few] + 1e-4, labelled.labels[few])
    found = nearness(copies, labelled.rows, real((400, 40), 1), CONFIG)
    assert found.nearer == 1.0 and found.by_chance < 0.03 and found.samples < found.test_rows


def test_a_class_whose_real_rows_are_equal_says_nothing_of_copies():
    labelled, test, generated = (real((100, 100), seed) for seed in range(3))
    for part in (labelled, test, generated):
        part.rows[part.labels == 1] = part.rows[part.labels == 1].round()
    found = nearness(generated, labelled.rows, test, CONFIG)
    assert found.by_chance == pytest.approx(1.99 / 101, rel=0.001) and found.nearer < 0.2
    same = Examples(test.rows.round(), test.labels)
    nothing = nearness(same, same.rows, same, CONFIG)
    assert nothing.nearer is None and nothing.by_chance is None and nothing.samples == nothing.test_rows == 0


def test_what_is_unknown_is_left_out_of_a_mean():
    assert mean_of_known([0.25, None, 0.75]) == 0.5 and mean_of_known([None]) is None
