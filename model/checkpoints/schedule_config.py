"""What a config.json says of a noise schedule: one of Spirale's own, or another library's."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from model.beta_schedule import BETA_CURVES, BetaCurve, make_betas, with_zero_terminal_snr
from model.noise_schedule import NoiseSchedule, ScheduleName, make_schedule
from model.sampler_spec import Floats
from model.strict_config import StrictConfig
from model.timestep_spacing import SpacingName, TimestepSpacing

MAX_T = 10_000
Beta = Annotated[float, Field(gt=0, lt=1)]


class ScheduleConfig(StrictConfig):
    """A noise schedule of Spirale's own. A schedule that does not end in noise is refused."""

    name: ScheduleName = "cosine"
    T: int = Field(1000, ge=1, le=MAX_T)

    @model_validator(mode="after")
    def _ends_in_noise(self) -> "ScheduleConfig":
        self.build()
        return self

    @property
    def description(self) -> str:
        return f"{self.name}, T = {self.T}"

    def build(self) -> NoiseSchedule:
        return make_schedule(self.name, self.T)


class BetaScheduleConfig(StrictConfig):
    """A noise schedule of a model from another library, with the timesteps that its library visits.

    name               "beta-" and a curve of `model.beta_schedule`; beta-list has its values in `betas`
    beta_range         the ends of the curve; the cosine does not read them
    zero_terminal_snr  see `with_zero_terminal_snr`
    spacing, offset    see `TimestepSpacing`
    final_alpha_bar    ᾱ that the last step arrives at: 1, the data, or ᾱ_1 ("first")

    It may end before x_T is noise: that is how the model was trained.
    """

    name: Literal["beta-linear", "beta-scaled-linear", "beta-sigmoid", "beta-cosine", "beta-list"]
    T: int = Field(ge=1, le=MAX_T)
    beta_range: tuple[Beta, Beta] = (1e-4, 0.02)
    betas: tuple[Beta, ...] = Field((), max_length=MAX_T)
    zero_terminal_snr: bool = False
    spacing: SpacingName = "trailing"
    offset: int = Field(0, ge=0)
    final_alpha_bar: Literal["one", "first"] = "one"

    @model_validator(mode="after")
    def _has_its_betas(self) -> "BetaScheduleConfig":
        if (self.name == "beta-list") != bool(self.betas) or len(self.betas) not in (0, self.T):
            raise ValueError("beta-list, and it alone, has one of `betas` for each of the T timesteps")
        if self.zero_terminal_snr and self.T < 2:
            raise ValueError("zero_terminal_snr needs at least 2 timesteps")
        return self

    @property
    def description(self) -> str:
        low, high = self.beta_range
        curve = self.name.removeprefix("beta-")
        ends = f" from {low:g} to {high:g}" if curve not in ("cosine", "list") else ""
        extras = [f"{self.spacing} timesteps" + (f" + {self.offset}" if self.offset else "")]
        extras += ["zero terminal SNR"] if self.zero_terminal_snr else []
        extras += ["ends at ᾱ_1"] if self.final_alpha_bar == "first" else []
        return f"β {curve}{ends}, T = {self.T}, {', '.join(extras)}"

    def build(self) -> NoiseSchedule:
        betas = np.array(self.betas) if self.betas else make_betas(self._curve, self.T, self.beta_range)
        if self.zero_terminal_snr:
            betas = with_zero_terminal_snr(betas)
        alpha_bar: Floats = np.concatenate([[1.0], np.cumprod(1 - betas)])
        if self.final_alpha_bar == "first":
            alpha_bar[0] = alpha_bar[1]
        return NoiseSchedule(alpha_bar, TimestepSpacing(self.spacing, self.offset))

    @property
    def _curve(self) -> BetaCurve:
        return next(curve for curve in BETA_CURVES if self.name == f"beta-{curve}")


AnyScheduleConfig = Annotated[ScheduleConfig | BetaScheduleConfig, Field(discriminator="name")]
