"""diffusers' CMStochasticIterativeScheduler → schedule and default sampling of a consistency model."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from model.checkpoints.config import SamplingConfig
from model.checkpoints.denoiser import CONSISTENCY_SAMPLER, PredictionConfig
from model.checkpoints.schedule_config import MAX_T, KarrasScheduleConfig
from training.importing.diffusers_scheduler import ReadScheduler
from training.importing.imported import ImportRefused

CONSISTENCY_SCHEDULER = "CMStochasticIterativeScheduler"


class ConsistencyOptions(BaseModel):
    """The scheduler's fields, with its defaults."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    num_train_timesteps: int = Field(40, ge=2, le=MAX_T + 1)
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    sigma_data: float = Field(0.5, gt=0)
    s_noise: float = 1.0
    rho: float = 7.0
    clip_denoised: bool = True


def read_consistency_scheduler(
    document: Mapping[str, Any], where: str, timesteps: tuple[int, ...] | None
) -> ReadScheduler:
    """`document` is the scheduler's config, and `where` its name in errors.

    timesteps  that a run of so many steps visits, as diffusers takes them: they fall to 0, which is the noisiest

    Raises ImportRefused.
    """
    try:
        options = ConsistencyOptions.model_validate(document)
        if options.s_noise != 1:
            raise ImportRefused(
                f"{where}: s_noise is {options.s_noise:g}: only 1 is supported, the noise of each level"
            )
        last = options.num_train_timesteps - 1  # diffusers' index of σ_min, which is t = 0 here
        schedule = KarrasScheduleConfig(
            T=last,
            sigma_range=(options.sigma_min, options.sigma_max),
            rho=options.rho,
            timesteps=_visited(timesteps, last),
        )
        sampling = SamplingConfig(sampler=CONSISTENCY_SAMPLER, steps=len(timesteps or (0,)))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise ImportRefused(f"{where}: {field + ': ' if field else ''}{first['msg']}") from error
    return ReadScheduler(
        schedule, PredictionConfig(target="x0"), sampling, 1.0 if options.clip_denoised else None, options.sigma_data
    )


def _visited(timesteps: tuple[int, ...] | None, last: int) -> tuple[int, ...]:
    """diffusers' list falls, and is visited from its end. Index i is the i-th level from the noisiest: t = last − i.

    Raises ImportRefused."""
    if timesteps is None:
        return ()
    falling = all(one > other for one, other in pairwise(timesteps))
    if not timesteps or not falling or timesteps[-1] != 0 or timesteps[0] >= last:
        given = ",".join(map(str, timesteps))
        raise ImportRefused(
            f"--timesteps {given}: they fall to 0, the noisiest, from at most {last - 1}: 22,0 for example"
        )
    return tuple(last - index for index in reversed(timesteps))
