"""A sampling run is a table: one row per network evaluation, its timesteps and its coefficients.

Rows on different samplers, step counts and timesteps share one forward pass and one fused update (`model.step`).
Nothing here knows of a network; everything is float64.
"""

from dataclasses import dataclass, fields, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from model.noise_schedule import NoiseSchedule
from model.sampler_spec import COLUMNS, Floats, Integers, OptionValues, SamplerSpec, Strides, Variance
from model.samplers import SAMPLERS
from model.timestep_spacing import trailing_timesteps


@dataclass(frozen=True, eq=False)
class Plan:
    """The whole of a sampling run, laid out before it starts.

    t             [rows] int64    timestep at which the network is evaluated
    s             [rows] int64    timestep that the row arrives at; the last is 0
    noise_level   [rows] float64  σ at t, see `NoiseSchedule.noise_level`
    coefficients  [rows, len(COLUMNS)] float64
    inverts       [rows] bool     the row goes from a sample up to its noise. Such rows come first

    A row is one network evaluation. A step has one row, or several where its sampler evaluates more than once.
    """

    t: Integers
    s: Integers
    noise_level: Floats
    coefficients: Floats
    inverts: NDArray[np.bool_]

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
    resample: int = 1,
    inverted: bool = False,
) -> Plan:
    """The plan of `steps` steps with this sampler, over the timesteps that the schedule's spacing visits.

    steps     1 … start. Without more, the plan has `SamplerSpec.evaluations(steps)` rows
    eta       0 … 1, for samplers that take it
    variance  for samplers that take it
    start     timestep to start from, 1 … T, in trailing timesteps, which begin there; None is pure noise
    resample  how often each step but the last is taken: after each time but its last, the row is noised back to where
              the step began (RePaint: Lugmayr 2022 algorithm 1). Each time begins without an earlier x̂0, so that
              multistep samplers take a first-order step
    inverted  begin at the sample, and go up by the same timesteps first: DDIM inversion (SME20 section 4.3), or the
              same with another deterministic sampler

    Raises ValueError on anything out of range, and for what the sampler cannot do.
    """
    if sampler not in SAMPLERS:
        raise ValueError(f"unknown sampler {sampler!r}: use one of {', '.join(SAMPLERS)}")
    spec, options = SAMPLERS[sampler], OptionValues(eta, variance)
    if start is not None and not 1 <= start <= schedule.T:
        raise ValueError(f"start must be 1 … {schedule.T}, got {start}")
    if resample < 1:
        raise ValueError(f"resample must be at least 1, got {resample}")
    timesteps = schedule.spacing.timesteps(schedule.T, steps) if start is None else trailing_timesteps(start, steps)
    if resample == 1:
        parts = [_part(schedule, spec, options, timesteps)]
    elif variance == "learned" and spec.takes("variance"):
        raise ValueError("a learned variance cannot be resampled: its noise and the jump's are one draw")
    else:
        *before, last = (_part(schedule, spec, options, timesteps[i : i + 2]) for i in range(steps))
        again = [[_noised_again(schedule, spec, step)] * (resample - 1) for step in before]
        parts = [part for times, step in zip(again, before, strict=True) for part in (*times, step)] + [last]
    if inverted:
        if spec.stochastic or (spec.takes("eta") and eta > 0):
            raise ValueError(f"{sampler} draws noise, so it cannot be inverted")
        if schedule.alpha_bar[timesteps[0]] == 0:
            raise ValueError("nothing of the data is left at T, so a sample cannot be inverted to there")
        # No network knows t = 0: a sample counts as a row at t = 1.
        ascending = np.unique(np.maximum(timesteps, 1))
        if len(ascending) > 1:
            parts.insert(0, _part(schedule, spec, options, ascending))
    plan = Plan(*(np.concatenate([getattr(part, column.name) for part in parts]) for column in fields(Plan)))
    plan.column("noise")[-1] = 0  # no noise on the step that arrives at the data
    for column in fields(Plan):
        getattr(plan, column.name).setflags(write=False)
    return plan


cached_plan = lru_cache(maxsize=64)(make_plan)
"""`make_plan`, remembered: a service sees the same few plans again and again, of a megabyte at most. NoiseSchedule
hashes by identity."""


def unchanged_plan(schedule: NoiseSchedule) -> Plan:
    """One row that leaves x as it is."""
    coefficients = np.zeros((1, len(COLUMNS)))
    coefficients[0, COLUMNS.index("x")] = 1
    one = np.ones(1, np.int64)
    return Plan(one, one - 1, schedule.noise_level[one], coefficients, np.zeros(1, bool))


def _part(schedule: NoiseSchedule, spec: SamplerSpec, options: OptionValues, timesteps: Integers) -> Plan:
    """The rows of a sampler over timesteps that only rise, or only fall."""
    strides = _strides(schedule, timesteps, spec.evaluations_per_step)
    coefficients = np.zeros((len(strides.t), len(COLUMNS)))
    columns = dict(zip(COLUMNS, coefficients.T, strict=True))
    spec.fill(columns, strides, options)
    if spec.gradient_moves == "x0":
        with np.errstate(divide="ignore"):  # where x_t shows nothing of the data, no gradient moves it
            columns["x0_gradient"][:] = (1 - strides.alpha_bar_t) / np.sqrt(strides.alpha_bar_t)
    inverts = np.full(len(strides.t), timesteps[0] < timesteps[-1])
    return Plan(strides.t, strides.s, schedule.noise_level[strides.t], coefficients, inverts)


def _noised_again(schedule: NoiseSchedule, spec: SamplerSpec, step: Plan) -> Plan:
    """One step t → s whose last row noises x_s back to x_t. This costs no evaluation: both are linear, and two draws of
    noise are one.

    A gradient that moves the mean moves x̂0 instead, by as much as moves the mean alike.
    """
    t = step.t[0]
    alpha = schedule.alpha_bar[t] / schedule.alpha_bar[step.s[-1]]
    again = replace(step, coefficients=step.coefficients.copy(), s=np.append(step.s[:-1], t))
    deviation, of_x0 = step.column("noise")[-1], step.column("x0")[-1]
    if spec.gradient_moves == "mean":
        again.column("x0_gradient")[-1] = deviation**2 / of_x0
    for name in ("x", "x0", "x0_before", "clipped_off"):
        again.column(name)[-1] *= np.sqrt(alpha)
    again.column("noise")[-1] = np.sqrt(alpha * deviation**2 + 1 - alpha)
    return again


def _strides(schedule: NoiseSchedule, timesteps: Integers, evaluations_per_step: int) -> Strides:
    """The rows over these timesteps [steps + 1]: every step has so many, but one that arrives at 0 has one."""
    counts = np.where(timesteps[1:] == 0, 1, evaluations_per_step)
    step = np.repeat(np.arange(len(counts)), counts)
    evaluation = np.arange(len(step)) - np.repeat(np.cumsum(counts) - counts, counts)
    t, s = timesteps[np.where(evaluation == 0, step, step + 1)], timesteps[step + 1]
    return Strides(t, s, evaluation, schedule.alpha_bar[t], schedule.alpha_bar[s])
