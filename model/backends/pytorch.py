"""Checkpoints by PyTorch, on any device. On most a row's last bits depend on the size of its batch."""

import torch
from torch import Tensor

from model.checkpoints.base import Precision
from model.checkpoints.control import ControlCheckpoint
from model.checkpoints.denoiser import DenoiserCheckpoint
from model.checkpoints.roles import ServedCheckpoint
from model.conditions import NO_LABEL
from model.denoiser import RowFunction


def torch_row_function(
    checkpoint: ServedCheckpoint, device: torch.device | str = "cpu", precision: Precision = "float32"
) -> RowFunction:
    """What the checkpoint computes of rows, on a copy of its network. A gradient is computed in float32."""
    if isinstance(checkpoint, DenoiserCheckpoint):
        return checkpoint.torch_network(device, precision)
    if isinstance(checkpoint, ControlCheckpoint):
        return checkpoint.control(device, precision)
    return checkpoint.gradient(device)


def example_rows(checkpoint: ServedCheckpoint, rows: int, device: torch.device | str = "cpu") -> tuple[Tensor, ...]:
    """Rows that the checkpoint's function takes: noise at every t, with its example of a condition, and a hint or a
    guidance scale where it reads one. The same numbers at every call."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, *checkpoint.data.shape, generator=generator)
    t = torch.randint(1, checkpoint.schedule.T + 1, (rows,), generator=generator)
    more: tuple[Tensor, ...] = ()
    if isinstance(checkpoint, ControlCheckpoint):
        text = checkpoint.config.text
        condition = torch.zeros(text) if text else torch.tensor(NO_LABEL)
        more = (torch.rand(rows, *checkpoint.example().shape, generator=generator),)
    else:
        condition = checkpoint.example()
        if isinstance(checkpoint, DenoiserCheckpoint) and checkpoint.config.distilled is not None:
            more = (torch.rand(rows, generator=generator),)
    conditions = condition.expand(rows, *condition.shape).contiguous()
    return tuple(one.to(device) for one in (x, t, conditions, *more))
