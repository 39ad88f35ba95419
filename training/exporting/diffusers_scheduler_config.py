"""A checkpoint's schedule, prediction and sampling → a scheduler of diffusers: the inverse of what import reads."""

from collections.abc import Mapping
from typing import Any

from diffusers import CMStochasticIterativeScheduler, DDIMScheduler, DDPMScheduler

from model.checkpoints.denoiser import DenoiserConfig
from model.checkpoints.schedule_config import BetaScheduleConfig, KarrasScheduleConfig
from model.networks.adapters import ConsistencyUNetConfig
from model.noise_schedule import LINEAR_BETAS
from model.prediction import Target
from model.sampler_spec import Variance

_PREDICTIONS: Mapping[Target, str] = {"epsilon": "epsilon", "v": "v_prediction", "x0": "sample"}
_VARIANCES: Mapping[Variance, str] = {
    "fixed-small": "fixed_small",
    "fixed-large": "fixed_large",
    "learned": "learned_range",
}
_CURVES = {"beta-linear": "linear", "beta-scaled-linear": "scaled_linear", "beta-cosine": "squaredcos_cap_v2"}


def scheduler_of(config: DenoiserConfig) -> DDIMScheduler | DDPMScheduler:
    """DDPM's where the card advises ddpm, else DDIM's."""
    threshold = config.prediction.threshold
    options: dict[str, Any] = {
        "prediction_type": _PREDICTIONS[config.prediction.target],
        "clip_sample": config.data.clip is not None,
        "clip_sample_range": config.data.clip or 1.0,
        "thresholding": threshold is not None,
        **_beta_options(config),
    }
    if threshold is not None:
        options |= {"dynamic_thresholding_ratio": threshold.ratio, "sample_max_value": threshold.largest}
    if config.sampling.sampler == "ddpm":
        return DDPMScheduler(**options, variance_type=_VARIANCES[config.sampling.variance])
    final = config.schedule.final_alpha_bar if isinstance(config.schedule, BetaScheduleConfig) else "one"
    return DDIMScheduler(**options, set_alpha_to_one=final == "one")


def consistency_scheduler_of(config: DenoiserConfig) -> CMStochasticIterativeScheduler:
    """Of a consistency model."""
    assert isinstance(config.schedule, KarrasScheduleConfig) and isinstance(config.network, ConsistencyUNetConfig)
    low, high = config.schedule.sigma_range
    return CMStochasticIterativeScheduler(
        num_train_timesteps=config.schedule.T + 1,
        sigma_min=low,
        sigma_max=high,
        sigma_data=config.network.sigma_data,
        rho=config.schedule.rho,
        clip_denoised=config.data.clip is not None,
    )


def _beta_options(config: DenoiserConfig) -> dict[str, Any]:
    schedule = config.schedule
    options: dict[str, Any] = {"num_train_timesteps": schedule.T}
    if isinstance(schedule, BetaScheduleConfig):
        options |= {
            "timestep_spacing": schedule.spacing,
            "steps_offset": schedule.offset,
            "rescale_betas_zero_snr": schedule.zero_terminal_snr,
        }
        if schedule.name in _CURVES:
            low, high = schedule.beta_range
            return options | {"beta_schedule": _CURVES[schedule.name], "beta_start": low, "beta_end": high}
        # Its β are given one by one, before any rescaling.
        betas = schedule.model_copy(update={"zero_terminal_snr": False, "final_alpha_bar": "one"}).build().beta
        return options | {"trained_betas": betas.tolist()}
    options["timestep_spacing"] = "trailing"
    if schedule.name == "cosine":
        return options | {"beta_schedule": "squaredcos_cap_v2"}
    if schedule.name == "linear":
        low, high = (beta * 1000 / schedule.T for beta in LINEAR_BETAS)
        return options | {"beta_schedule": "linear", "beta_start": low, "beta_end": high}
    return options | {"trained_betas": schedule.build().beta.tolist()}
