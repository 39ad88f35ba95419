"""Where runs start, against what the theory says of it."""

import math

import pytest
import torch

from model.conditions import Known
from model.noise import normal
from model.noise_schedule import make_schedule
from model.start import known_start, mixed_noise, noised_start, rotated

SCHEDULE = make_schedule("cosine", 1000)
SEEDS, OTHERS = torch.arange(4_000), torch.arange(4_000) + 10_000


def drawn(seeds: torch.Tensor) -> torch.Tensor:
    return normal(seeds, torch.zeros_like(seeds), (5,))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.77])
def test_between_two_seeds_the_noise_is_standard_normal_and_as_near_to_each_as_the_angle_says(share):
    between = mixed_noise(SEEDS, OTHERS, torch.full((4_000,), share, dtype=torch.float64), (5,))
    assert abs(between.mean()) < 0.03 and abs(between.std() - 1) < 0.02
    for end, angle in ((SEEDS, share), (OTHERS, 1 - share)):
        correlation = (between * drawn(end)).mean().item()
        assert correlation == pytest.approx(math.cos(angle * math.pi / 2), abs=0.03)


def test_the_ends_are_the_seeds_own_noise_to_the_bit():
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64).repeat(2_000)
    between = mixed_noise(SEEDS, OTHERS, ends, (5,))
    assert torch.equal(between[0::2], drawn(SEEDS)[0::2]) and torch.equal(between[1::2], drawn(OTHERS)[1::2])


def test_a_small_turn_moves_a_row_little():
    one, other = drawn(SEEDS), drawn(OTHERS)
    turned = rotated(one, other, torch.full((4_000,), 0.01))
    assert (turned - one).abs().mean() == pytest.approx(math.sin(0.005 * math.pi) * other.abs().mean().item(), rel=0.01)


def test_a_picture_is_noised_to_its_timestep():
    x0, noise = torch.full((4_000, 5), 0.7), drawn(SEEDS)
    start = noised_start(x0, noise, SCHEDULE, 400)
    alpha_bar = SCHEDULE.alpha_bar[400]
    assert start.mean().item() == pytest.approx(0.7 * math.sqrt(alpha_bar), abs=0.02)
    assert start.std().item() == pytest.approx(math.sqrt(1 - alpha_bar), abs=0.02)


def test_what_is_known_starts_at_its_own_noised_value():
    kept = torch.tensor([[1.0, 0, 0, 1, 0]]).expand(4_000, -1)
    known, noise = Known(torch.full((4_000, 5), 0.7), kept), drawn(SEEDS)
    start = known_start(torch.full((4_000, 5), 9.0), known, noise, SCHEDULE, 400)
    assert torch.equal(start[:, [0, 3]], noised_start(known.x0, noise, SCHEDULE, 400)[:, [0, 3]])
    assert (start[:, [1, 2, 4]] == 9).all()
