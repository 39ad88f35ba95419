"""Checkpoints by PyTorch, on any device. On most a row's last bits depend on the size of its batch."""

import torch
from torch import Tensor
from torch.nn import functional as F

from model.checkpoints.autoguidance import AutoguidanceCheckpoint
from model.checkpoints.base import TorchPrecision
from model.checkpoints.control import ControlCheckpoint
from model.checkpoints.denoiser import DenoiserCheckpoint
from model.checkpoints.roles import ServedCheckpoint
from model.conditions import NO_LABEL
from model.denoiser import RowFunction


def torch_row_function(
    checkpoint: ServedCheckpoint, device: torch.device | str = "cpu", precision: TorchPrecision = "float32"
) -> RowFunction:
    """What the checkpoint computes of rows, on a copy of its network. A gradient is computed in float32."""
    if isinstance(checkpoint, DenoiserCheckpoint | AutoguidanceCheckpoint):
        return checkpoint.torch_network(device, precision)
    if isinstance(checkpoint, ControlCheckpoint):
        return checkpoint.control(device, precision)
    return checkpoint.gradient(device)


def example_rows(checkpoint: ServedCheckpoint, rows: int, device: torch.device | str = "cpu") -> tuple[Tensor, ...]:
    """Rows that the checkpoint's function takes: noise at every t, with labels or text vectors of every kind, and a
    hint, an x̂0, or a guidance scale and a timestep below t, where it reads them. The same numbers at every call."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, *checkpoint.data.shape, generator=generator)
    t = torch.randint(1, checkpoint.schedule.T + 1, (rows,), generator=generator)
    more: tuple[Tensor, ...] = ()
    if _jumps(checkpoint):
        more = (torch.rand(rows, generator=generator), (t * torch.rand(rows, generator=generator)).long())
    if isinstance(checkpoint, ControlCheckpoint):
        example = torch.zeros(checkpoint.config.text) if checkpoint.config.text else torch.tensor(NO_LABEL)
        more += (torch.rand(rows, *checkpoint.example().shape, generator=generator),)
    else:
        example = checkpoint.example()
        if isinstance(checkpoint, DenoiserCheckpoint) and checkpoint.config.self_conditioned:
            more = (torch.randn(rows, *checkpoint.data.shape, generator=generator),)
    if example.is_floating_point():
        conditions = F.normalize(torch.randn(rows, *example.shape, generator=generator), dim=1)
    else:
        data = checkpoint.data
        classes = checkpoint.config.classes if isinstance(checkpoint, DenoiserCheckpoint) else len(data.labels)
        conditions = torch.randint(min(int(example), 0), classes or 1, (rows,), generator=generator)
    return tuple(one.to(device) for one in (x, t, conditions, *more))


def _jumps(checkpoint: ServedCheckpoint) -> bool:
    """Does its network read the guidance scale and s?"""
    if isinstance(checkpoint, ControlCheckpoint):
        return checkpoint.config.jumps
    return isinstance(checkpoint, DenoiserCheckpoint) and checkpoint.config.distilled is not None
