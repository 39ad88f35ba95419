"""The part of a recipe that says how a teacher becomes a flow map."""

from typing import Any, Self

import torch
from pydantic import Field, model_validator

from model.checkpoints.base import TorchPrecision
from model.checkpoints.config import GuidanceInterval
from model.checkpoints.distilled import check_guidance_range
from model.precision import precision_on
from model.strict_config import StrictConfig


class JumpSection(StrictConfig):
    """Jumps that a student learns, t → s in quarters of T, in a share of a batch's rows."""

    t: int = Field(ge=1, le=4)
    s: int = Field(ge=0, le=3)
    share: float = Field(gt=0, le=1)


EVEN_JUMPS = tuple(
    JumpSection(t=t, s=s, share=share)
    for t, s, share in (
        (4, 0, 0.27), (4, 2, 0.15), (2, 0, 0.22), (4, 3, 0.09), (3, 2, 0.08), (2, 1, 0.08), (1, 0, 0.11),
    )
)  # fmt: skip
"""Those of plans of 1, 2 and 4 steps. The last of a plan decides what the sample looks like."""


class FlowMapSection(StrictConfig):
    """Distillation of a guided teacher into a flow map; see `training.tasks.jump_loss` and `.trajectories`."""

    guidance_range: tuple[float, float] = (1.0, 2.0)  # the scales that the student learns
    guidance_interval: GuidanceInterval | None = None  # the noise levels at which the teacher is guided
    label_drop: float = Field(0.08, ge=0, le=1)  # probability, per run; the scale is 1 there, where no hint is guided
    trajectories: int = Field(6000, ge=1)  # runs of the teacher that are stored
    teacher_steps: int = Field(3, ge=1)  # of the teacher in a quarter of T
    precision: TorchPrecision = "float32"  # in which the teacher runs, where the device has it
    on_policy: float = Field(0.75, ge=0, le=1)  # share of rows that start where the student's own jumps lead
    jumps: tuple[JumpSection, ...] = Field(EVEN_JUMPS, min_length=1)

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        check_guidance_range(self.guidance_range)
        if abs(sum(one.share for one in self.jumps) - 1) > 1e-6:
            raise ValueError("the shares of jumps must add up to 1")
        if any(one.s >= one.t or (4 - one.t) % (one.t - one.s) for one in self.jumps):
            raise ValueError("every jump must be one of a plan of even steps from quarter 4 down")
        return self

    def on(self, device: torch.device | str) -> Self:
        """The section with the precision in which the teacher runs on that device."""
        return self.model_copy(update={"precision": precision_on(torch.device(device), self.precision)})

    def of_the_runs(self) -> dict[str, Any]:
        """The fields that the stored runs depend on."""
        return self.model_dump(mode="json", exclude={"jumps", "on_policy"})
