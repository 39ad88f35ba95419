"""What a student became of its teacher, and how it may be sampled."""

from typing import Self

from pydantic import Field, model_validator

from model.checkpoints.config import NAME_PATTERN, SamplingConfig
from model.strict_config import StrictConfig

CONSISTENCY_STEPS = (1, 2, 4)


class DistilledConfig(StrictConfig):
    """A student is a denoiser whose network reads the guidance scale and guides itself.

    teacher         name of the checkpoint that it learned from
    consistency     x̂0 is where the teacher's ODE ends (Song 2023, section 3), not a posterior mean
    guidance_range  the scales that it was trained at
    """

    teacher: str = Field(pattern=NAME_PATTERN)
    consistency: bool
    guidance_range: tuple[float, float]

    @model_validator(mode="after")
    def _has_the_conditional_scale(self) -> Self:
        check_guidance_range(self.guidance_range)
        return self

    def refusal(self, sampling: SamplingConfig) -> tuple[str, str] | None:
        """(the field, what it takes) where the student cannot be sampled so; None where it can."""
        low, high = self.guidance_range
        if sampling.guidance_scale != 0 and not low <= sampling.guidance_scale <= high:
            return "guidance_scale", f"{low:g} … {high:g}, the scales that it was trained at, or 0 for no label"
        if self.consistency and sampling.sampler != "renoise":
            return "sampler", "renoise: it predicts where the ODE ends, and other samplers need a posterior mean"
        if self.consistency and sampling.steps not in CONSISTENCY_STEPS:
            return "steps", f"{', '.join(map(str, CONSISTENCY_STEPS))}: more steps make a consistency model worse"
        return None


def check_guidance_range(scales: tuple[float, float]) -> None:
    """Raises ValueError where scale 1, the conditional model itself, is not among them."""
    low, high = scales
    if not 0 < low <= 1 <= high:
        raise ValueError(f"guidance_range is low, high with 0 < low ≤ 1 ≤ high, got {low:g}, {high:g}")
