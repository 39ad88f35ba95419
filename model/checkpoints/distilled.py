"""What a student became of its teacher, and how it may be sampled."""

from typing import Self

from pydantic import Field, model_validator

from model.checkpoints.config import NAME_PATTERN, GuidanceInterval, SamplingConfig
from model.strict_config import StrictConfig

STEPS = (1, 2, 4)


class DistilledConfig(StrictConfig):
    """A student is a flow map (Boffi 2024): its network reads the guidance scale and s, and one ddim update t → s with
    its x̂0 arrives where the teacher's guided ODE is at s. It has learned the jumps of plans of 1, 2 and 4 steps.

    teacher            name of the checkpoint that it learned from
    guidance_range     the scales that it was trained at
    guidance_interval  the noise levels at which its teacher was guided; None is all of them
    """

    teacher: str = Field(pattern=NAME_PATTERN)
    guidance_range: tuple[float, float]
    guidance_interval: GuidanceInterval | None = None

    @model_validator(mode="after")
    def _has_the_conditional_scale(self) -> Self:
        check_guidance_range(self.guidance_range)
        return self

    def refusal(self, sampling: SamplingConfig) -> tuple[str, str] | None:
        """(the field, what it takes) where the student cannot be sampled so; None where it can."""
        low, high = self.guidance_range
        if sampling.guidance_scale != 0 and not low <= sampling.guidance_scale <= high:
            return "guidance_scale", f"{low:g} … {high:g}, the scales that it was trained at, or 0 for no label"
        if sampling.guidance_interval is not None:
            return "guidance_interval", "its teacher's, learned with the rest: it cannot be chosen any more"
        if sampling.sampler != "ddim":
            return "sampler", "ddim: it predicts where the ODE goes, and other samplers need a posterior mean"
        if sampling.eta != 0:
            return "eta", "0: it follows the ODE, which draws no noise"
        if sampling.steps not in STEPS:
            return "steps", f"{', '.join(map(str, STEPS))}: it has learned no other jumps"
        return None


def check_guidance_range(scales: tuple[float, float]) -> None:
    """Raises ValueError where scale 1, the conditional model itself, is not among them."""
    low, high = scales
    if not 0 < low <= 1 <= high:
        raise ValueError(f"guidance_range is low, high with 0 < low ≤ 1 ≤ high, got {low:g}, {high:g}")
