"""A diffusers scheduler's config → schedule, prediction and default sampling of a checkpoint.

docs/import.md has a table of where the two libraries differ.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from model.checkpoints.config import SamplingConfig
from model.checkpoints.denoiser import PredictionConfig, ThresholdConfig
from model.checkpoints.schedule_config import BetaScheduleConfig, KarrasScheduleConfig
from model.prediction import Target
from model.sampler_spec import Variance
from model.timestep_spacing import SpacingName
from training.importing.imported import ImportRefused

STEPS = {"DDPMScheduler": 1000, "DDIMScheduler": 50}
"""The schedulers that are read, and the steps that diffusers' pipeline of each takes by default."""

BetaScheduleName = Literal["beta-linear", "beta-scaled-linear", "beta-sigmoid", "beta-cosine", "beta-list"]

_CURVES: Mapping[str, BetaScheduleName] = {
    "linear": "beta-linear",
    "scaled_linear": "beta-scaled-linear",
    "sigmoid": "beta-sigmoid",
    "squaredcos_cap_v2": "beta-cosine",
}
_SPACINGS: Mapping[str, SpacingName] = {"leading": "leading", "trailing": "trailing", "linspace": "linspace"}
_TARGETS: Mapping[str, Target] = {"epsilon": "epsilon", "v_prediction": "v", "sample": "x0"}
_VARIANCES: Mapping[str, Variance] = {
    "fixed_small": "fixed-small",
    "fixed_small_log": "fixed-small",
    "fixed_large": "fixed-large",
    "fixed_large_log": "fixed-large",
    "learned_range": "learned",
}


ValueT = TypeVar("ValueT")


class SchedulerOptions(BaseModel):
    """The fields of DDPMScheduler and DDIMScheduler, with the defaults that they share. Others change no sample of a
    pipeline and are passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    num_train_timesteps: int = Field(1000, ge=1)
    beta_start: float = 1e-4
    beta_end: float = 0.02
    beta_schedule: str = "linear"
    trained_betas: tuple[float, ...] | None = None
    clip_sample: bool = True
    clip_sample_range: float = 1.0
    prediction_type: str = "epsilon"
    thresholding: bool = False
    dynamic_thresholding_ratio: float = 0.995
    sample_max_value: float = 1.0
    timestep_spacing: str = "leading"
    steps_offset: int = 0
    rescale_betas_zero_snr: bool = False
    variance_type: str = "fixed_small"
    set_alpha_to_one: bool = True


@dataclass(frozen=True)
class ReadScheduler:
    """
    clip        the bound on |x̂0|; None where x̂0 is not clipped, or thresholded
    sigma_data  see `ConsistencyUNetConfig`; None of a denoiser
    """

    schedule: BetaScheduleConfig | KarrasScheduleConfig
    prediction: PredictionConfig
    sampling: SamplingConfig
    clip: float | None
    sigma_data: float | None = None


def read_scheduler(document: Mapping[str, Any], where: str) -> ReadScheduler:
    """`document` is the scheduler's config, and `where` its name in errors. Raises ImportRefused."""
    name = document.get("_class_name")
    if name not in STEPS:
        raise ImportRefused(
            f"{where}: its scheduler is {name}; {', '.join(STEPS)} and CMStochasticIterativeScheduler are read. Where "
            "the model was trained on β, save it with one of them: DDIMScheduler.from_config(pipeline.scheduler.config)"
        )
    try:
        options = SchedulerOptions.model_validate(document)
        schedule = _schedule(options, where)
        prediction = _prediction(options, where)
        sampling = SamplingConfig(
            sampler="ddpm" if name == "DDPMScheduler" else "ddim",
            steps=min(STEPS[name], schedule.T),
            variance=_known(_VARIANCES, options, "variance_type", where),
        )
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise ImportRefused(f"{where}: {field + ': ' if field else ''}{first['msg']}") from error
    clip = options.clip_sample_range if options.clip_sample and not options.thresholding else None
    return ReadScheduler(schedule, prediction, sampling, clip)


def _schedule(options: SchedulerOptions, where: str) -> BetaScheduleConfig:
    listed = options.trained_betas or ()
    if listed and len(listed) != options.num_train_timesteps:
        raise ImportRefused(f"{where}: trained_betas has {len(listed)} for {options.num_train_timesteps} timesteps")
    return BetaScheduleConfig(
        name="beta-list" if listed else _known(_CURVES, options, "beta_schedule", where),
        T=options.num_train_timesteps,
        beta_range=(options.beta_start, options.beta_end),
        betas=listed,
        zero_terminal_snr=options.rescale_betas_zero_snr,
        spacing=_known(_SPACINGS, options, "timestep_spacing", where),
        offset=options.steps_offset if options.timestep_spacing == "leading" else 0,
        final_alpha_bar="one" if options.set_alpha_to_one else "first",
    )


def _prediction(options: SchedulerOptions, where: str) -> PredictionConfig:
    target = _known(_TARGETS, options, "prediction_type", where)
    if target == "epsilon" and options.rescale_betas_zero_snr:
        raise ImportRefused(
            f"{where}: predicts ε and has zero terminal SNR: at T no ε tells x0, and diffusers divides by 0. Set "
            "rescale_betas_zero_snr to false, or prediction_type to what the network predicts"
        )
    return PredictionConfig(
        target=target,
        learned_variance=options.variance_type == "learned_range",
        threshold=(
            ThresholdConfig(ratio=options.dynamic_thresholding_ratio, largest=options.sample_max_value)
            if options.thresholding
            else None
        ),
        raw_epsilon=True,
    )


def _known(values: Mapping[str, ValueT], options: SchedulerOptions, field: str, where: str) -> ValueT:
    """What a field's value is here. Raises ImportRefused for one that is not known."""
    value = getattr(options, field)
    if value not in values:
        raise ImportRefused(f"{where}: {field} is {value}; supported are {', '.join(values)}")
    return values[value]
