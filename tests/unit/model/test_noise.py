"""A row's noise is a function of its seed and the step."""

import math
import random

import numpy as np
import pytest
import torch
from scipy import stats

import model.noise
from model.noise import MAX_SEED, normal, philox, sample_seeds


def words(*values: int) -> tuple[torch.Tensor, ...]:
    return tuple(torch.tensor(value) for value in values)


def hexadecimal(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


KNOWN_ANSWERS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_philox_gives_the_known_answers_of_its_authors(counter, key, answer):
    """Random123, kat_vectors."""
    output = philox(words(*hexadecimal(counter)), words(*hexadecimal(key)))
    assert [int(word) for word in output] == hexadecimal(answer)


def philox_in_whole_numbers(counter: list[int], key: list[int]) -> list[int]:
    """Salmon 2011, section 3.3, without a word that could overflow."""
    (c0, c1, c2, c3), (k0, k1) = counter, key
    for _ in range(10):
        (high0, low0), (high1, low1) = divmod(0xD2511F53 * c0, 2**32), divmod(0xCD9E8D57 * c2, 2**32)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return [c0, c1, c2, c3]


def test_philox_of_many_rows_at_once_is_that_of_each():
    dice = random.Random(0)
    rows = [[dice.getrandbits(32) for _ in range(6)] for _ in range(200)]
    columns = torch.tensor(rows).T
    together = torch.stack(philox(tuple(columns[:4]), tuple(columns[4:])), dim=1)
    assert together.tolist() == [philox_in_whole_numbers(row[:4], row[4:]) for row in rows]


def test_the_numbers_of_a_seed_stay_what_they_are():
    """Counter (block, step, 0, 0), key (low word, high word of the seed), then Box-Muller on pairs of words."""
    seed, step = 0x0123456789ABCDEF, 5
    expected = []
    for block in range(2):
        u = [(w + 0.5) / 2**32 for w in philox_in_whole_numbers([block, step, 0, 0], [0x89ABCDEF, 0x01234567])]
        for radius, angle in ((u[0], u[1]), (u[2], u[3])):
            length = math.sqrt(-2 * math.log(radius))
            expected += [length * math.cos(2 * math.pi * angle), length * math.sin(2 * math.pi * angle)]
    z = normal(torch.tensor([seed]), torch.tensor([step]), (7,))
    # The libraries' sines may differ by float64's last bits, of which float32 shows nothing but a rounding.
    np.testing.assert_allclose(z[0].numpy(), np.float32(expected[:7]), rtol=2e-7)


@pytest.mark.parametrize("shape", [(1,), (2,), (7,), (3, 5), (784,), (1, 28, 28), (3, 9, 11)])
def test_a_rows_noise_is_its_own_in_batches_of_every_size(shape):
    seeds = torch.from_numpy(sample_seeds(2**62 + 11, 130))
    steps = torch.arange(130) % 7
    together = normal(seeds, steps, shape)
    for size in (1, 2, 3, 4, 5, 7, 8, 16, 17, 33, 64, 129):
        batches = zip(seeds.split(size), steps.split(size), strict=True)
        assert torch.equal(torch.cat([normal(*batch, shape) for batch in batches]), together)


def test_a_rows_noise_is_its_own_wherever_it_stands():
    seeds = torch.from_numpy(sample_seeds(0, 100))
    steps = torch.arange(100) % 9
    order = torch.randperm(100)
    assert torch.equal(normal(seeds[order], steps[order], (5,)), normal(seeds, steps, (5,))[order])


ROWS, SIZE = 200, 784


def field(step: int) -> torch.Tensor:
    return normal(torch.arange(ROWS), torch.full((ROWS,), step), (SIZE,)).double()


def test_it_is_standard_normal():
    z = field(0).flatten()
    assert stats.kstest(z.numpy(), "norm").pvalue > 0.01
    # Moments of n standard normals: the k-th has a variance of (E z^2k − (E z^k)²)/n. Five deviations are allowed.
    for power, expected, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs(z.pow(power).mean().item() - expected) < 5 * math.sqrt(variance / len(z))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda: field(0), lambda: field(1)),
        (lambda: field(1), lambda: field(1000)),
        (lambda: field(0)[:-1], lambda: field(0)[1:]),
        (lambda: field(0)[:, :-1], lambda: field(0)[:, 1:]),
        (lambda: field(0)[:, :-4], lambda: field(0)[:, 4:]),
        (lambda: field(0)[:-1], lambda: field(1)[1:]),  # seed + 1 at step 0, seed at step 1: no diagonal repeats
    ],
    ids=["step and next", "far steps", "seed and next", "element and next", "block and next", "diagonal"],
)
def test_noise_is_uncorrelated_with_its_neighbours(one, other):
    """The mean of n products of independent normals deviates by 1/√n; five of these are allowed, of squares too."""
    a, b = one(), other()
    assert abs((a * b).mean().item()) < 5 / math.sqrt(a.numel())
    assert abs(((a**2 - 1) * (b**2 - 1) / 2).mean().item()) < 5 / math.sqrt(a.numel())


def test_all_63_bits_of_a_seed_count():
    seeds = torch.tensor([0] + [2**bit for bit in range(63)])
    first = normal(seeds, torch.zeros(64, dtype=torch.int64), (4,))
    assert len({tuple(row) for row in first.tolist()}) == 64


@pytest.mark.parametrize("word", [0, 2**32 - 1])
def test_the_outermost_random_words_still_give_finite_noise(word, monkeypatch):
    monkeypatch.setattr(model.noise, "philox", lambda counter, key: (torch.full((1, 1), word),) * 4)
    z = normal(torch.tensor([0]), torch.tensor([0]), (4,))
    assert z.abs().max() <= math.sqrt(2 * 33 * math.log(2)) + 1e-6  # the farthest of all, √(−2 log 2⁻³³) = 6.8


@pytest.mark.parametrize(
    ("seed", "expected"),
    [
        (0, [0, 1, 2, 3]),
        (MAX_SEED - 1, [MAX_SEED - 1, MAX_SEED, 0, 1]),
        (MAX_SEED, [MAX_SEED, 0, 1, 2]),
    ],
)
def test_the_seeds_of_a_request_count_up_and_wrap_at_2_to_the_63(seed, expected):
    assert sample_seeds(seed, 4).tolist() == expected
