"""The plain sampling loop: one plan, one batch, start to end.

Used offline, and the oracle the service's engine is tested against: the engine must give the same bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from model.conditions import Conditions
from model.denoiser import Denoiser
from model.noise import normal
from model.plan import Plan
from model.step import step


@dataclass(frozen=True)
class SamplingState:
    """Where a run stands after `step` of its updates: x [rows, …], and the x̂0 that the last update was made with."""

    step: int
    x: Tensor
    x0: Tensor


@torch.inference_mode()
def sampling_states(
    denoiser: Denoiser,
    plan: Plan,
    conditions: Conditions,
    seeds: Tensor,
    shape: tuple[int, ...],
    start: Tensor | None = None,
) -> Iterator[SamplingState]:
    """Run the plan, yielding after every update.

    seeds  [rows] int64, one a row
    shape  of one row
    start  [rows, *shape] in the network's range: x at the plan's first timestep; None is each row's noise at step 0

    Raises ValueError where the plan's variance is one that the model has not learned; where a row has no label, no
    source to invert, or another guidance scale than 1, for a model that was trained with labels only; where a row is
    autoguided, and the model has no weak network.
    """
    if plan.column("learned").any() and not denoiser.learned_variance:
        raise ValueError("this model has learned no variance: make a plan with fixed-small or fixed-large")
    rows, device = len(seeds), denoiser.device
    ways = [conditions, conditions.inverting(torch.full((rows,), bool(plan.inverts.any())))]
    if denoiser.needs_label and any(way.runs_unconditional.any() for way in ways):
        raise ValueError(
            "this model has no unconditional half: give every row a label, at the guidance scale 1, and to be inverted "
            "that of its source"
        )
    if denoiser.weak is None and conditions.runs_weak.any():
        raise ValueError("this model has no weak network to be led away from: give every row the autoguidance scale 1")
    seeds = seeds.to(device)
    coefficients = torch.tensor(plan.coefficients, dtype=torch.float32, device=device)
    x = normal(seeds, torch.zeros_like(seeds), shape) if start is None else start.to(device)
    x0 = torch.zeros_like(x)
    for index, (t, s) in enumerate(zip(plan.t.tolist(), plan.s.tolist(), strict=True)):
        inverts = torch.full((rows,), bool(plan.inverts[index]))
        prediction = denoiser(x, torch.full((rows,), t), conditions.inverting(inverts), torch.full((rows,), s), x0)
        if plan.stochastic[index]:
            noise = normal(seeds, torch.full_like(seeds, index + 1), shape)
        else:
            noise = torch.zeros_like(x)
        x, x0 = step(x, prediction, x0, noise, coefficients[index].expand(rows, -1))
        yield SamplingState(index + 1, x, x0)


def sample(
    denoiser: Denoiser,
    plan: Plan,
    conditions: Conditions,
    seeds: Tensor,
    shape: tuple[int, ...],
    start: Tensor | None = None,
) -> Tensor:
    """The end of the run: x_0 [rows, *shape] in the network's own range."""
    for state in sampling_states(denoiser, plan, conditions, seeds, shape, start):  # noqa: B007 (the last one is wanted)
        pass
    return state.x
