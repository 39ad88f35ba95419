"""What the engine is asked for, and what it answers."""

from dataclasses import dataclass, field

import numpy as np

from model.denoiser import evaluations
from model.plan import Plan


@dataclass(frozen=True, eq=False)
class Job:
    """n samples from one model by one plan.

    model           name of a checkpoint that the engine holds
    seeds           [n] int64, one a sample
    labels          [n] int64, NO_LABEL (−1) where none is asked for
    guidance_scale  classifier-free
    """

    model: str
    plan: Plan
    seeds: np.ndarray
    labels: np.ndarray
    guidance_scale: float

    def __len__(self) -> int:
        return len(self.seeds)

    @property
    def evaluations_per_step(self) -> int:
        """Network evaluations that one step of all samples costs."""
        labelled = int((self.labels >= 0).sum())
        return labelled * evaluations(0, self.guidance_scale) + (len(self) - labelled)


@dataclass(frozen=True, eq=False)
class Samples:
    """The answer to a job.

    data              points float32 [n, d] in the data's own units; images uint8 [n, H, W] or [n, H, W, C]
    queue_seconds     from submission to the first step
    sampling_seconds  from the first step to the last
    """

    data: np.ndarray
    queue_seconds: float
    sampling_seconds: float


class EngineError(Exception):
    """A job that gets no samples."""


@dataclass
class EngineFull(EngineError):
    """More work is queued than the bound allows. `retry_after` is in seconds, ≥ 1."""

    queued_seconds: float
    retry_after: int = field(default=1)


class DeadlinePassed(EngineError):
    """The job was not done within the deadline; its rows are freed."""


class JobFailed(EngineError):
    """This job's own rows failed (a value that is not finite, an exception in its path); no other job is touched."""


class EngineStopped(EngineError):
    """The engine is not running: draining, or dead."""
