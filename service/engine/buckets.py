"""A network, a ControlNet, or a classifier's gradient, that only ever sees batches of a few sizes.

A row's last bits depend on the size of the batch it is computed in (the kernels are chosen by it), not on its place
there or its neighbours. So batches are padded to sizes at which the bits agree, and a row's result is its own.
"""

import math
import time
from collections.abc import Callable, Generator
from itertools import product
from typing import Generic, TypeVar

import torch
from torch import Tensor

from model.data import DataConfig
from model.denoiser import RowFunction

ResultT = TypeVar("ResultT", Tensor, tuple[Tensor, ...])

# On CPUs, what a UNet gives a row was found bit-equal across multiples of 4. What does not hold on the machine at hand
# is dropped when a model is loaded. Every size more has to be looked at before the service is ready.
IMAGE_SIZES = (4, 8, 16, 24, 32, 48, 64)
POINT_SIZES = (64, 256, 512, 1024)

COMPARED_NUMBERS = 2048
"""So many numbers of a network's output, at least, are compared before a size is kept: few small rows hide a difference
that one row in some hundreds shows."""


def default_sizes(data: DataConfig) -> tuple[int, ...]:
    return IMAGE_SIZES if data.kind == "images" else POINT_SIZES


class BucketedNetwork(Generic[ResultT]):
    """The same, padded to the smallest of `sizes` that holds the rows.

    example  a row's condition, that of the rows which pad: a label [] int64, or a text vector [d]

    Raises ValueError for more rows than the largest.
    """

    def __init__(self, network: Callable[..., ResultT], sizes: tuple[int, ...], example: Tensor):
        self._network: Callable[..., ResultT] = network
        self._example = example
        self.sizes = tuple(sorted(sizes))

    def __call__(self, x: Tensor, t: Tensor, condition: Tensor, *more: Tensor) -> ResultT:
        rows = len(x)
        size = next((size for size in self.sizes if size >= rows), None)
        if size is None:
            raise ValueError(f"{rows} rows are more than the largest bucket, {self.sizes[-1]}")
        if size > rows:
            padding = size - rows
            x = torch.cat([x, x.new_zeros(padding, *x.shape[1:])])
            t = torch.cat([t, t.new_ones(padding)])
            condition = torch.cat([condition, self._example.to(condition.device).expand(padding, *condition.shape[1:])])
            more = tuple(torch.cat([one, one.new_zeros(padding, *one.shape[1:])]) for one in more)
        found = self._network(x, t, condition, *more)
        if isinstance(found, tuple):
            return tuple(one[:rows] for one in found)
        return found[:rows]

    def keep_bit_equal_sizes(
        self, shape: tuple[int, ...], T: int, device: torch.device, *more: Tensor
    ) -> Generator[None, None, dict[int, float]]:
        """Keep the sizes that `bit_equal_sizes` returns. Yields after each pass, and returns the same."""
        seconds = yield from bit_equal_sizes(self._network, self.sizes, shape, T, device, self._example, *more)
        self.sizes = tuple(seconds)
        return seconds


@torch.inference_mode()
def bit_equal_sizes(
    network: RowFunction,
    sizes: tuple[int, ...],
    shape: tuple[int, ...],
    T: int,
    device: torch.device,
    example: Tensor,
    *more: Tensor,
) -> Generator[None, None, dict[int, float]]:
    """Those of `sizes` at which this network gives a row the bits that the largest size gives it, and the seconds that
    the fastest pass took at each. Yields after each pass, and returns them.

    `example` is a row's condition, see `BucketedNetwork`; `more` are examples of what else it reads of a row, a hint or
    a guidance scale, for their shapes and types. The largest size is always among the sizes found. What is dropped
    follows from the arithmetic alone, never from a clock, so it is the same at every start on the same machine with the
    same settings.
    """
    largest = max(sizes)
    generator = torch.Generator().manual_seed(0)
    conditions = example.to(device).expand(largest, *example.shape).contiguous()

    def like(one: Tensor) -> Tensor:
        """Of its type: a graph that is compiled for another is not the one that requests use."""
        if one.is_floating_point():
            return torch.rand(largest, *one.shape, generator=generator)
        return torch.randint(T + 1, (largest, *one.shape), generator=generator)  # a timestep

    def drawn() -> list[Tensor]:
        x = torch.randn(largest, *shape, generator=generator)
        t = torch.randint(1, T + 1, (largest,), generator=generator)
        return [x.to(device), t.to(device), conditions, *(like(one).to(device) for one in more)]

    def found(inputs: list[Tensor], rows: slice) -> list[Tensor]:
        outputs = network(*(one[rows] for one in inputs))
        return list(outputs) if isinstance(outputs, tuple) else [outputs]

    batches = [drawn() for _ in range(math.ceil(COMPARED_NUMBERS / (largest * math.prod(shape))))]
    expected = []
    for inputs in batches:
        expected.append(found(inputs, slice(None)))
        yield

    # Every row is looked at, at another place than in the larger batch: a size may differ in one row of a hundred.
    starts = {size: [min(start, largest - size) for start in range(0, largest, size)] for size in sizes}
    fastest = {}
    for size in sorted(sizes):
        seconds = math.inf
        for (inputs, outputs), start in product(zip(batches, expected, strict=True), starts[size]):
            rows = slice(start, start + size)
            started = time.perf_counter()
            same = all(torch.equal(own, whole[rows]) for own, whole in zip(found(inputs, rows), outputs, strict=True))
            seconds = min(seconds, time.perf_counter() - started)
            yield
            if not same and size != largest:
                break
        else:
            fastest[size] = seconds
    return fastest
