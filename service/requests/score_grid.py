"""A request for the score on a grid → a job of one step from that grid, and the score that its samples tell."""

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import torch
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from torch import Tensor

from model.checkpoints.denoiser import DenoiserCheckpoint
from model.conditions import Conditions
from model.plan import make_plan
from model.prediction import score
from service.checkpoints.catalog import Catalog
from service.engine.job import Job
from service.engine.served_model import Served
from service.http.problems import invalid
from service.requests.edit_rules import farthest
from service.requests.resolve import resolve
from service.requests.schemas import GuidanceMethod, Interval, SampleRequest, commas

MAX_SIDE = 41  # points a side: 1,681 rows
REACH = 2.5  # deviations of the data, to either side, where the request names no area


class ScoreQuery(BaseModel):
    """The query string of GET /score."""

    model_config = ConfigDict(extra="forbid")

    dataset: str = Field(max_length=64, description="Points of two dimensions; see /models.", examples=["spiral"])
    model: str | None = Field(None, max_length=64, description="Pins one checkpoint. Default: as for /sample.")
    timestep: int = Field(ge=1, description="t, the noise level: 1 … T of the model.", examples=[400])
    label: str | None = Field(None, description="A class. Without it the score is unconditional.")
    guidance: GuidanceMethod | None = Field(None, description="With a label; as for /sample.")
    guidance_scale: float | None = Field(None, ge=0, le=20, allow_inf_nan=False, description="As for /sample.")
    guidance_interval: Annotated[Interval | None, BeforeValidator(commas)] = Field(None, description="As for /sample.")
    side: int = Field(21, ge=2, le=MAX_SIDE, description="Points of the grid a side.")
    area: Annotated[list[float] | None, BeforeValidator(commas), Field(min_length=4, max_length=4)] = Field(
        None, description="x from, x to, y from, y to, in the data's own units. Default: 2.5 deviations each way.",
        examples=[[-2, 2, -2, 2]],
    )  # fmt: skip


class ScoreAnswer(BaseModel):
    """∇ log p(x_t), or ∇ log p(x_t | label) as guidance makes it, at the points of a grid."""

    model: str
    timestep: int
    alpha_bar: float = Field(description="ᾱ at that timestep.")
    columns: list[str] = Field(description="What the dimensions are called.")
    points: list[list[float]] = Field(description="x_t, in the data's own units.")
    score: list[list[float]] = Field(description="Of each point, by the data's own units.")


@dataclass(frozen=True, eq=False)
class ScoreGrid:
    """x_t [side², 2] in the network's range, and the job whose samples are x̂0 there."""

    served: Served
    timestep: int
    x_t: Tensor
    job: Job

    @property
    def checkpoint(self) -> DenoiserCheckpoint:
        return self.served.checkpoint

    def answer(self, samples: np.ndarray) -> ScoreAnswer:
        """From x̂0 [side², 2] in the data's own units."""
        config = self.checkpoint.config
        data = config.data
        alpha_bar = float(self.checkpoint.schedule.alpha_bar[self.timestep])
        field = score(data.standardise(torch.from_numpy(samples)), self.x_t, torch.full((len(samples),), alpha_bar))
        return ScoreAnswer(
            model=config.name,
            timestep=self.timestep,
            alpha_bar=alpha_bar,
            columns=list(data.columns),
            points=data.restore(self.x_t).tolist(),
            score=(field / torch.tensor(data.std)).tolist(),
        )


def score_grid(catalog: Catalog, query: ScoreQuery) -> ScoreGrid:
    """One step of DDIM from timestep t to the data arrives at x̂0. Raises Problem (404, 422)."""
    of_request = {"guidance", "guidance_scale", "guidance_interval"}
    given = query.model_dump(include={"dataset", "model", "label", *of_request}, exclude_none=True)
    if query.label is None and (named := given.keys() & of_request):
        raise invalid(min(named), "applies where there is a label to guide to")
    request = SampleRequest(**given, n=1, seed=0)
    resolved = resolve(catalog, request)
    checkpoint = resolved.checkpoint
    data, T = checkpoint.config.data, checkpoint.schedule.T
    if data.kind != "points" or data.shape != (2,):
        raise invalid("dataset", "the score is shown of points with two dimensions", query.dataset)
    if data.table:  # its samples, and so x̂0, are rounded to values that the columns can have
        raise invalid("dataset", "the score is shown of plain numbers, and this table has others", query.dataset)
    if checkpoint.config.distilled is not None:
        raise invalid(
            "model", "a student's x̂0 is no posterior mean, which the score is made of", checkpoint.config.name
        )
    if query.timestep > T:
        raise invalid("timestep", f"1 … {T} for {checkpoint.config.name}", query.timestep)
    x_t = _grid(checkpoint, query)
    rows = torch.zeros(len(x_t), dtype=torch.int64)
    conditions = Conditions.none(len(x_t)) if query.label is None else resolved.job.conditions[rows]
    plan = make_plan(checkpoint.schedule, "ddim", 1, start=query.timestep)
    job = replace(resolved.job, plan=plan, seeds=np.zeros(len(x_t), np.int64), conditions=conditions, start=x_t)
    return ScoreGrid(resolved.choice.served, query.timestep, x_t, job)


def _grid(checkpoint: DenoiserCheckpoint, query: ScoreQuery) -> Tensor:
    """[side², 2] in the network's range, x before y."""
    if query.area is None:
        axis = torch.linspace(-REACH, REACH, query.side)
        return torch.cartesian_prod(axis, axis)
    left, right, low, high = query.area
    (leftmost, rightmost), (lowest, highest) = (farthest(checkpoint.config.data, dimension) for dimension in (0, 1))
    if not (leftmost <= left < right <= rightmost and lowest <= low < high <= highest):
        within = f"x in {leftmost:g} … {rightmost:g}, y in {lowest:g} … {highest:g}"
        raise invalid("area", f"x from, x to, y from, y to; each from below its to, with {within}", query.area)
    across, upright = (
        torch.linspace(start, stop, query.side, dtype=torch.float64) for start, stop in ((left, right), (low, high))
    )
    return checkpoint.config.data.standardise(torch.cartesian_prod(across, upright))
