"""Where a run starts: pure noise, noise between two seeds, or a picture with noise added."""

import math

import torch
from torch import Tensor

from model.conditions import Known
from model.noise import normal
from model.noise_schedule import NoiseSchedule
from model.prediction import diffused, per_row


def rotated(one: Tensor, other: Tensor, share: Tensor) -> Tensor:
    """cos(πm/2)·one + sin(πm/2)·other: the spherical interpolation of two rows of noise.

    one, other  [rows, …] independent standard normal noise. The angle between them is taken for a right one, as it is
                on average: so the result is exactly standard normal, in any number of dimensions
    share       [rows] float64, m in 0 … 1: 0 is `one`, 1 is `other`, to the bit
    """
    angle = share.double() * (math.pi / 2)
    of_one, of_other = (per_row(weight.float().to(one.device), one) for weight in (angle.cos(), angle.sin()))
    mixed = of_one * one + of_other * other
    ends = per_row(share.to(one.device), one)
    return torch.where(ends == 0, one, torch.where(ends == 1, other, mixed))


def mixed_noise(seeds: Tensor, other_seeds: Tensor, share: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The noise [rows, *shape] that runs start from, `rotated` from that of `seeds` [rows] to that of `other_seeds`."""
    step = torch.zeros_like(seeds)
    return rotated(normal(seeds, step, shape), normal(other_seeds, step, shape), share)


def noised_start(x0: Tensor, noise: Tensor, schedule: NoiseSchedule, t: int) -> Tensor:
    """x_t of the pictures x0 [rows, …]: where SDEdit starts (Meng 2022 algorithm 1)."""
    return diffused(x0, noise, torch.full((len(noise),), float(schedule.alpha_bar[t])))


def known_start(start: Tensor, known: Known, noise: Tensor, schedule: NoiseSchedule, t: int) -> Tensor:
    """The start [rows, …], which is at t, with x_t of what is known in its place. The little that is left of it at T
    is put in there too, so that x_t has its true distribution from the start."""
    return torch.where(known.kept != 0, noised_start(known.x0, noise, schedule, t), start)
