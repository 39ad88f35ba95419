"""What a config.json says of a noise schedule: one of Spirale's own, or another library's."""

from itertools import pairwise
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from model.beta_schedule import BETA_CURVES, BetaCurve, make_betas, with_zero_terminal_snr
from model.karras_levels import KarrasLevels
from model.noise_schedule import NoiseSchedule, ScheduleName, make_schedule
from model.sampler_spec import Floats
from model.strict_config import StrictConfig
from model.timestep_spacing import SpacingName, TimestepSpacing

MAX_T = 10_000
Beta = Annotated[float, Field(gt=0, lt=1)]
Sigma = Annotated[float, Field(gt=0, le=1e6)]


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

    @model_validator(mode="after")
    def _mixes_data_and_noise(self) -> "BetaScheduleConfig":
        alpha_bar = self.build().alpha_bar[1:].astype(np.float32)  # as networks' outputs are read
        if not ((alpha_bar[:-1] > 0).all() and (alpha_bar < 1).all()):
            raise ValueError("its β leave only data, or only noise, before T: ᾱ_t is to be between 0 and 1")
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


class KarrasScheduleConfig(StrictConfig):
    """The noise levels of a consistency model (Song 2023): σ_t^(1/ρ) is even in t (Karras 2022 eq. 5), from σ_min at
    t = 0, which counts as the data, to σ_max at T.

    sigma_range  (σ_min, σ_max)
    timesteps    those that a run of so many steps visits, from T down. Other runs see `TimestepSpacing`, "descending"

    An answer of such a model is at σ_min, so the noise that takes it to σ_t is √(σ_t² − σ_min²): that is the noise
    which ᾱ_t tells of. A run begins with noise alone, so ᾱ_T is 0.
    """

    name: Literal["karras"] = "karras"
    T: int = Field(39, ge=1, le=MAX_T)
    sigma_range: tuple[Sigma, Sigma] = (0.002, 80.0)
    rho: float = Field(7.0, ge=1, le=100)
    timesteps: tuple[int, ...] = Field((), max_length=MAX_T)

    @model_validator(mode="after")
    def _rises_and_descends(self) -> Self:
        if not self.sigma_range[0] < self.sigma_range[1]:
            raise ValueError("sigma_range is σ_min, σ_max with σ_min < σ_max")
        visited = self.timesteps
        if visited and (visited[0] != self.T or any(one <= other for one, other in pairwise((*visited, 0)))):
            raise ValueError(f"timesteps begin with T = {self.T}, fall, and end above 0")
        return self

    @property
    def description(self) -> str:
        low, high = self.sigma_range
        visited = (
            f", in {len(self.timesteps)} steps at t = {', '.join(map(str, self.timesteps))}" if self.timesteps else ""
        )
        return f"σ from {low:g} to {high:g} by ρ = {self.rho:g}, T = {self.T}{visited}"

    @property
    def levels(self) -> KarrasLevels:
        return KarrasLevels(self.T, *self.sigma_range, self.rho)

    def build(self) -> NoiseSchedule:
        sigma = self.levels(np.arange(self.T + 1, dtype=np.float64))
        alpha_bar = 1 / (1 + (sigma**2 - sigma[0] ** 2))
        alpha_bar[-1] = 0
        return NoiseSchedule(alpha_bar, TimestepSpacing("descending", listed=self.timesteps))


AnyScheduleConfig = Annotated[ScheduleConfig | BetaScheduleConfig | KarrasScheduleConfig, Field(discriminator="name")]
