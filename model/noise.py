"""A row's noise is a function of (its seed, the step), and of nothing else.

Counter-based random numbers (Philox-4x32-10: Salmon 2011) instead of generator objects: any row's noise at any step can
be had at any time, for many rows in one go, on any device.
"""

import math

import numpy as np
import torch
from torch import Tensor

MAX_SEED = 2**63 - 1

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_WORD = 0xFFFFFFFF


def sample_seeds(seed: int, n: int) -> np.ndarray:
    """The seeds of the n samples of a request: (seed + i) mod 2⁶³, int64 [n]."""
    return ((np.uint64(seed) + np.arange(n, dtype=np.uint64)) & np.uint64(MAX_SEED)).astype(np.int64)


def philox(counter: tuple[Tensor, Tensor, Tensor, Tensor], key: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
    """Philox-4x32-10: four counter words and two key words → four random words.

    Words are 0 … 2³²−1, held in int64 tensors that broadcast against each other (a 32 × 32 bit product wraps into the
    sign bit, which the mask after the shift removes).
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        product0, product1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            ((product1 >> 32) & _WORD) ^ c1 ^ k0,
            product1 & _WORD,
            ((product0 >> 32) & _WORD) ^ c3 ^ k1,
            product0 & _WORD,
        )
        k0, k1 = (k0 + _WEYL[0]) & _WORD, (k1 + _WEYL[1]) & _WORD
    return c0, c1, c2, c3


def uniform(seeds: Tensor) -> Tensor:
    """One uniform random number in (0, 1) for each row, float64 [rows]; it shares nothing with the row's noise.

    seeds  [rows] int64, 0 … 2⁶³−1
    """
    zero = torch.zeros_like(seeds)
    word, *_ = philox((zero, zero, zero + 1, zero), (seeds & _WORD, (seeds >> 32) & _WORD))
    return (word.double() + 0.5) * 2.0**-32


def normal(seeds: Tensor, steps: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Standard normal noise [rows, *shape] in float32, row i keyed by (seeds[i], steps[i]).

    seeds  [rows] int64, 0 … 2⁶³−1
    steps  [rows] int64: 0 is the noise a run starts from, k that of its k-th update

    Box-Muller (Box & Muller 1958) in float64 and rounded at the end: vectorised and scalar code paths may differ in the
    last bit of a logarithm, but not in the 24 bits that are left.
    """
    size = math.prod(shape)
    blocks = -(-size // 4)
    block = torch.arange(blocks, device=seeds.device).unsqueeze(0)
    zero = torch.zeros_like(block)
    low, high = (seeds & _WORD).unsqueeze(1), ((seeds >> 32) & _WORD).unsqueeze(1)
    words = philox((block, steps.unsqueeze(1), zero, zero), (low, high))
    u0, u1, u2, u3 = ((word.double() + 0.5) * 2.0**-32 for word in words)  # in (0, 1)
    radius0, radius1 = (-2 * u0.log()).sqrt(), (-2 * u2.log()).sqrt()
    angle0, angle1 = (2 * math.pi) * u1, (2 * math.pi) * u3
    z = (radius0 * angle0.cos(), radius0 * angle0.sin(), radius1 * angle1.cos(), radius1 * angle1.sin())
    return torch.stack(z, dim=-1).flatten(1)[:, :size].float().view(-1, *shape)
