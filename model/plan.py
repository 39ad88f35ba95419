"""A sampling run is a table: one row per network evaluation, its timesteps and its coefficients.

Rows on different samplers, step counts and timesteps share one forward pass and one fused update (`model.step`).
Nothing here knows of a network; everything is float64.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from model.noise_schedule import NoiseSchedule
from model.sampler_spec import COLUMNS, Floats, Integers, OptionValues, Strides, Variance
from model.samplers import SAMPLERS
from model.timestep_spacing import trailing_timesteps


@dataclass(frozen=True, eq=False)
class Plan:
    """The whole of a sampling run, laid out before it starts.

    t             [rows] int64    timestep at which the network is evaluated, from the start down
    s             [rows] int64    timestep that the row arrives at; the last is 0
    noise_level   [rows] float64  σ at t, see `NoiseSchedule.noise_level`
    coefficients  [rows, len(COLUMNS)] float64

    A row is one network evaluation. A step has one row, or several where its sampler evaluates more than once.
    """

    t: Integers
    s: Integers
    noise_level: Floats
    coefficients: Floats

    def __len__(self) -> int:
        """Network evaluations of a sample, without guidance."""
        return len(self.t)

    @property
    def stochastic(self) -> NDArray[np.bool_]:
        """[rows] bool: does this row draw noise?"""
        return (self.column("noise") > 0) | (self.column("learned") > 0)

    def column(self, name: str) -> Floats:
        return self.coefficients[:, COLUMNS.index(name)]


def make_plan(
    schedule: NoiseSchedule,
    sampler: str,
    steps: int,
    *,
    eta: float = 0.0,
    variance: Variance = "fixed-small",
    start: int | None = None,
) -> Plan:
    """The plan of `steps` steps with this sampler, over the timesteps that the schedule's spacing visits.

    steps     1 … start. The plan has `SamplerSpec.evaluations(steps)` rows
    eta       0 … 1, for samplers that take it
    variance  for samplers that take it
    start     timestep to start from, 1 … T, in trailing timesteps, which begin there; None is pure noise

    Raises ValueError on anything out of range.
    """
    if sampler not in SAMPLERS:
        raise ValueError(f"unknown sampler {sampler!r}: use one of {', '.join(SAMPLERS)}")
    spec, options = SAMPLERS[sampler], OptionValues(eta, variance)
    if start is not None and not 1 <= start <= schedule.T:
        raise ValueError(f"start must be 1 … {schedule.T}, got {start}")
    timesteps = schedule.spacing.timesteps(schedule.T, steps) if start is None else trailing_timesteps(start, steps)
    strides = _strides(schedule, timesteps, spec.evaluations_per_step)
    coefficients = np.zeros((len(strides.t), len(COLUMNS)))
    columns = dict(zip(COLUMNS, coefficients.T, strict=True))
    spec.fill(columns, strides, options)
    columns["noise"][-1] = 0  # no noise on the step that arrives at the data
    if spec.gradient_moves == "x0":
        with np.errstate(divide="ignore"):  # where x_t shows nothing of the data, no gradient moves it
            columns["x0_gradient"][:] = (1 - strides.alpha_bar_t) / np.sqrt(strides.alpha_bar_t)
    plan = Plan(strides.t, strides.s, schedule.noise_level[strides.t], coefficients)
    for array in (plan.t, plan.s, plan.noise_level, plan.coefficients):
        array.setflags(write=False)
    return plan


cached_plan = lru_cache(maxsize=256)(make_plan)
"""`make_plan`, remembered: a service sees the same few plans again and again. NoiseSchedule hashes by identity."""


def _strides(schedule: NoiseSchedule, timesteps: Integers, evaluations_per_step: int) -> Strides:
    """The rows over these timesteps [steps + 1]: every step has so many, and the last one."""
    rows = np.arange(evaluations_per_step * (len(timesteps) - 2) + 1)
    step, evaluation = np.divmod(rows, evaluations_per_step)
    t, s = timesteps[np.where(evaluation == 0, step, step + 1)], timesteps[step + 1]
    return Strides(t, s, evaluation, schedule.alpha_bar[t], schedule.alpha_bar[s])
