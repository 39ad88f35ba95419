"""What the engine is asked for, and what it answers."""

from dataclasses import dataclass

import numpy as np

from model.conditions import NO_LABEL, HintKind, network_evaluations
from model.plan import Plan


@dataclass(frozen=True, eq=False)
class Hint:
    """A picture that all samples of a job are to follow: image float32 [1, H, W] in 0 … 1; scale 0 is off."""

    kind: HintKind
    image: np.ndarray
    scale: float


@dataclass(frozen=True, eq=False)
class Job:
    """n samples from one model by one plan.

    model             name of a checkpoint that the engine holds
    seeds             [n] int64, one a sample
    labels            [n] int64; NO_LABEL (−1) in all of them where none is asked for
    guidance_scale    classifier-free: of label or text; of the hint where there is neither
    gradient_scale    of the gradient of what steers the model by label or text; 0 where nothing does
    text              [d] float32, a prompt as the model's text encoder (or what steers it) has it; None for none
    hint              for a ControlNet of the model; None for none
    preview_steps     ascending, each 1 … len(plan): after so many steps the caller is shown x̂0
    """

    model: str
    plan: Plan
    seeds: np.ndarray
    labels: np.ndarray
    guidance_scale: float
    gradient_scale: float = 0.0
    text: np.ndarray | None = None
    hint: Hint | None = None
    preview_steps: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if len(self.labels) != len(self.seeds):
            raise ValueError(f"{len(self.seeds)} seeds but {len(self.labels)} labels")
        if len({label == NO_LABEL for label in self.labels.tolist()}) != 1:
            raise ValueError("a job's samples are all labelled or all not")

    def __len__(self) -> int:
        return len(self.seeds)

    @property
    def network_evaluations_per_row(self) -> int:
        """Network evaluations that one step of one sample costs."""
        asks = self.text is not None or bool(self.labels[0] != NO_LABEL)
        control_scale = 0.0 if self.hint is None else self.hint.scale
        return network_evaluations(asks, self.guidance_scale, self.gradient_scale, control_scale)

    @property
    def network_evaluations(self) -> int:
        """Network evaluations that the whole job costs."""
        return len(self) * len(self.plan) * self.network_evaluations_per_row


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


class EngineFull(EngineError):
    """More work is queued than the bound allows. Both in seconds; `retry_after` is at least 1."""

    def __init__(self, queued_seconds: float, retry_after: int):
        super().__init__(f"{queued_seconds:.1f} s of work are queued; try again in {retry_after} s")
        self.queued_seconds = queued_seconds
        self.retry_after = retry_after


class DeadlinePassed(EngineError):
    """The job was not done within the deadline; its rows are freed."""


class JobFailed(EngineError):
    """This job's own rows failed (a value that is not finite, an exception in its path); no other job is touched."""


class EngineStopped(EngineError):
    """The engine takes no work: not ready, draining, or dead."""
