"""The running average of a network's weights, which is what becomes a checkpoint."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

_Tensors = tuple[Tensor, ...] | list[Tensor]


def average_of(network: nn.Module, decay: float) -> AveragedModel:
    """An exponential moving average, of the weights as they are after each `update_parameters`."""
    return AveragedModel(network, multi_avg_fn=_ema(decay))


def _ema(decay: float) -> Callable[[_Tensors, _Tensors, Tensor | int], None]:
    """The decay warms up as (1 + n)/(10 + n), so that early weights are soon forgotten."""

    @torch.no_grad()
    def update(averaged: _Tensors, current: _Tensors, n: Tensor | int) -> None:
        step = float(n)
        torch._foreach_lerp_(averaged, current, 1 - min(decay, (1 + step) / (10 + step)))

    return update
