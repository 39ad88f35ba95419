"""The interface of a task: everything about a training run that the loop does not need to know."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from model.checkpoints.config import CheckpointConfig
from training.data.training_set import TrainingSet
from training.recipe import Recipe


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows of a training set, on the network's device.

    rows    [rows, …] in the data's own units
    labels  [rows] int64; traits [rows, …] int64 of a captioned set
    """

    rows: Tensor
    labels: Tensor


@dataclass(frozen=True, eq=False)
class LossContext:
    """Everything besides its batch that a step's loss may depend on.

    network    in training; a wrapper of the task's own network where several processes train
    average    the running average of its weights over the steps before; call it without gradients
    step       the number of the step, from 0 on
    generator  the source of all randomness of the step, on the CPU
    """

    network: nn.Module
    average: nn.Module
    step: int
    generator: torch.Generator


class Task(Protocol):
    """What is trained, and on what.

    config    of the checkpoint that it becomes
    stateful  what else has to be saved (state_dict, load_state_dict) for a run to go on exactly
    """

    config: CheckpointConfig[nn.Module]

    @property
    def recipe(self) -> Recipe: ...

    @property
    def network(self) -> nn.Module: ...

    @property
    def data(self) -> TrainingSet: ...

    @property
    def stateful(self) -> Sequence[Any]: ...

    def loss(self, batch: Batch, context: LossContext) -> Tensor:
        """A mean over the batch, []."""
        ...

    def picture(self, network: nn.Module, path: Path) -> None:
        """Draw what the (averaged) network does now."""
        ...

    def save(self, network: nn.Module, folder: Path) -> None:
        """Write the checkpoint of the (averaged) network."""
        ...
