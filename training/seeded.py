"""A seed for what draws from PyTorch's own generator and takes no other."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_alone = threading.Lock()  # all threads have the same generator


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside, PyTorch's own generator of the CPU begins with this seed; outside, it stays as it was. Others wait."""
    with _alone, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
