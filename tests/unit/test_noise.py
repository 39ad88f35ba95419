import numpy as np
import pytest
import torch
from scipy import stats

from model.noise import MAX_SEED, normal, philox, sample_seeds


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_philox_gives_the_known_answers_of_its_authors(counter, key, expected):
    def words(text):
        return tuple(torch.tensor(int(word, 16)) for word in text.split())

    assert [f"{int(word):08x}" for word in philox(words(counter), words(key))] == expected.split()


@pytest.mark.parametrize("shape", [(1, 28, 28), (2,), (3, 5), (1,)])
def test_a_rows_noise_is_its_own_wherever_it_stands(shape):
    seeds = torch.from_numpy(sample_seeds(2**62 + 11, 130))
    steps = torch.arange(130) % 7
    together = normal(seeds, steps, shape)
    for index in (0, 1, 64, 129):
        alone = normal(seeds[index : index + 1], steps[index : index + 1], shape)
        assert torch.equal(alone[0], together[index])
    shuffled = torch.randperm(130, generator=torch.Generator().manual_seed(0))
    assert torch.equal(normal(seeds[shuffled], steps[shuffled], shape), together[shuffled])


def test_it_is_standard_normal_and_independent_over_elements_steps_and_seeds():
    z = normal(torch.arange(200), torch.zeros(200, dtype=torch.int64), (784,)).double()
    assert stats.kstest(z.flatten().numpy(), "norm").pvalue > 0.01
    # The mean of 156,800 products of independent normals has a deviation of 1/√156800 = 0.0025.
    later = normal(torch.arange(200), torch.ones(200, dtype=torch.int64), (784,)).double()
    for one, other in ((z, later), (z[:-1], z[1:]), (z[:, :-1], z[:, 1:]), (z[:, :-2], z[:, 2:])):
        assert abs((one * other).mean().item()) < 0.0125


def test_high_bits_of_a_seed_count():
    seeds = torch.tensor([5, 5 + 2**32, 5 + 2**62])
    z = normal(seeds, torch.zeros(3, dtype=torch.int64), (64,))
    assert not torch.equal(z[0], z[1]) and not torch.equal(z[0], z[2])


def test_sample_seeds_count_up_and_wrap():
    np.testing.assert_array_equal(sample_seeds(MAX_SEED - 1, 4), [MAX_SEED - 1, MAX_SEED, 0, 1])
