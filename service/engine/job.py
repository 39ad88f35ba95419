"""A job for the engine, its samples, and the errors in their place."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from model.conditions import Conditions
from model.plan import Plan


@dataclass(frozen=True, eq=False)
class Job:
    """n samples from one model by one plan.

    model          key of a served model that the engine holds
    seeds          [n] int64, one a sample
    conditions     n rows that all cost as many network evaluations
    guides_itself  the model reads the guidance scale, so its guidance costs nothing more
    preview_steps  ascending, each 1 … len(plan) − 1: after so many steps the caller gets a Preview
    start          [n, …] in the network's range: x at the plan's first timestep; None is the seeds' noise

    Raises ValueError where the rows do not agree in number or in cost.
    """

    model: str
    plan: Plan
    seeds: np.ndarray
    conditions: Conditions
    guides_itself: bool = False
    preview_steps: tuple[int, ...] = ()
    start: Tensor | None = None
    network_evaluations_by_step: tuple[int, ...] = field(init=False)
    """Network evaluations that each step of one sample costs."""

    def __post_init__(self) -> None:
        if len(self.conditions) != len(self.seeds):
            raise ValueError(f"{len(self.seeds)} seeds, but conditions of {len(self.conditions)} rows")
        if self.start is not None and len(self.start) != len(self.seeds):
            raise ValueError(f"{len(self.seeds)} seeds, but {len(self.start)} rows to start from")
        conditions = self.conditions.in_one_half() if self.guides_itself else self.conditions
        steps = torch.tensor(self.plan.noise_level), torch.tensor(self.plan.inverts)
        by_step = conditions.network_evaluations_by_step(*steps)
        object.__setattr__(self, "network_evaluations_by_step", tuple(by_step.tolist()))

    def __len__(self) -> int:
        return len(self.seeds)

    @property
    def network_evaluations(self) -> int:
        """Network evaluations that the whole job costs."""
        return len(self) * sum(self.network_evaluations_by_step)


@dataclass(frozen=True, eq=False)
class Preview:
    """A job on its way, in the data's own units, as in `Samples.data`.

    step  network evaluations of the plan that are done
    x0    x̂0 of every row
    x_t   every row as it stands
    """

    step: int
    x0: np.ndarray
    x_t: np.ndarray


@dataclass(frozen=True, eq=False)
class Samples:
    """The answer to a job.

    data              points float32 [n, d] in the data's own units, float64 where a table's columns need it; images
                      uint8 [n, H, W] or [n, H, W, C]
    queue_seconds     from submission to the first step
    sampling_seconds  from the first step to the last
    """

    data: np.ndarray
    queue_seconds: float
    sampling_seconds: float


class EngineError(Exception):
    """A job that gets no samples."""


class EngineFull(EngineError):
    """The job would wait too long for those that run before it. Both in seconds; `retry_after` is at least 1."""

    def __init__(self, wait_seconds: float, retry_after: int):
        super().__init__(f"it would wait {wait_seconds:.1f} s; try again in {retry_after} s")
        self.wait_seconds = wait_seconds
        self.retry_after = retry_after


class RateExceeded(EngineError):
    """The key has used its device-seconds. `rate` is a minute's, `seconds` are the job's; `retry_after` is in seconds,
    at least 1."""

    def __init__(self, key: str, rate: float, seconds: float, retry_after: int):
        super().__init__(f"the key {key} may use {rate:g} device-seconds a minute; try again in {retry_after} s")
        self.key, self.rate, self.seconds, self.retry_after = key, rate, seconds, retry_after


class JobTooLong(EngineError):
    """The job takes longer than the deadline on a device of its own. Both in seconds."""

    def __init__(self, seconds: float, deadline: float):
        super().__init__(f"it takes {seconds:.0f} s on this device, and the deadline is {deadline:g} s")


class DeadlinePassed(EngineError):
    """The job was not done within the deadline; its rows are freed."""


class JobFailed(EngineError):
    """This job's own rows failed (a value that is not finite, an exception in its path); no other job is touched."""


class EngineStopped(EngineError):
    """The engine takes no work: not ready, draining, or dead."""


class WorkerLost(EngineStopped):
    """The worker that had this ended before it was done; another may do it."""


class ModelNotLoaded(EngineStopped):
    """The job's model is not in memory, and could not be brought there. `retry_after` in seconds."""

    def __init__(self, reason: str, retry_after: int):
        super().__init__(reason)
        self.retry_after = retry_after
