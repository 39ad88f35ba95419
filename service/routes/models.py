"""GET /models: what may be asked, and the real points that samples are looked at against."""

from collections.abc import Mapping
from pathlib import Path

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from model.checkpoints.denoiser import DenoiserCheckpoint
from service.checkpoints.catalog import Catalog
from service.engine.snapshot import EngineSnapshot
from service.http.lifecycle import off_the_loop
from service.http.problems import UNKEPT, Problem, documented
from service.http.whole_files import WholeFile
from service.requests.ways import Ways
from service.responses.describe import models_answer
from service.responses.models_answer import ModelsAnswer
from service.state import AppState

router = APIRouter(tags=["models"])


class ReferenceAnswer(BaseModel):
    """Some of the real points of a model's data."""

    model: str
    columns: list[str] = Field(description="What the dimensions are called.")
    points: list[list[float]] = Field(description="In the data's own units.")
    classes: list[int] = Field(description="The number of each one's class; -1 where there are none.")


class ScheduleAnswer(BaseModel):
    """The noise schedule of a model, and what its network sees of the data: (data − mean)/std."""

    model: str
    alpha_bar: list[float] = Field(description="ᾱ at t = 0 … T.")
    mean: list[float] = Field(description="Of each dimension of points, or of each channel.")
    std: list[float]


@router.get("/models", response_class=Response, responses={200: {"model": ModelsAnswer}, **documented(401)})
async def models(state: AppState) -> Response:
    """What may be asked: for each dataset the ways to ask, and its checkpoints with defaults and metrics."""
    known = state.catalog, state.reloader.ways, state.engine.snapshot(), state.jobs.options.checkpoints
    return Response(await off_the_loop(state, _models, *known), media_type="application/json", headers=UNKEPT)


def _models(catalog: Catalog, ways: Mapping[str, Ways], engine: EngineSnapshot, checkpoints: Path) -> bytes:
    return models_answer(catalog, ways, engine, checkpoints).model_dump_json().encode()


@router.get(
    "/models/{name}/reference",
    response_class=Response,
    responses={200: {"model": ReferenceAnswer}, **documented(401, 404)},
)
async def reference(name: str, state: AppState) -> Response:
    """Up to 2,000 real points, to see how near samples come; for models that have some."""
    checkpoints = [served.checkpoint for served in state.catalog.served.values()]
    having = {one.config.name: one for one in checkpoints if one.reference is not None}
    if name not in having:
        raise Problem(404, f"there are no reference points of {name!r}; there are of: {', '.join(having) or '–'}")
    points = await off_the_loop(state, _reference, having[name])
    return Response(points, media_type="application/json", headers=UNKEPT)


@router.get(
    "/models/{name}/farthest",
    response_class=FileResponse,
    responses={200: {"content": {"image/png": {}}, "description": "A PNG."}, **documented(401, 404)},
)
async def farthest(name: str, state: AppState) -> FileResponse:
    """The worst samples: a picture of those that are farthest from real data, for models whose card has one."""
    checkpoints = {served.name: served.checkpoint for served in state.catalog.served.values()}
    path = checkpoints[name].farthest if name in checkpoints else None
    if path is None:
        having = ", ".join(one for one, checkpoint in checkpoints.items() if checkpoint.farthest is not None)
        raise Problem(404, f"there is no picture of the worst samples of {name!r}; there are of: {having or '–'}")
    return WholeFile(path, media_type="image/png", headers=UNKEPT)


@router.get("/models/{name}/schedule", responses={200: {"model": ScheduleAnswer}, **documented(401, 404)})
async def schedule(name: str, state: AppState) -> ScheduleAnswer:
    """How much of the data is left at each timestep."""
    checkpoints = {served.name: served.checkpoint for served in state.catalog.served.values()}
    if name not in checkpoints:
        raise Problem(404, f"there is no model {name!r}; there are: {', '.join(checkpoints)}")
    checkpoint = checkpoints[name]
    data = checkpoint.config.data
    mean, std = (list(values) * (data.shape[0] // len(values)) for values in (data.mean, data.std))
    return ScheduleAnswer(model=name, alpha_bar=checkpoint.schedule.alpha_bar.tolist(), mean=mean, std=std)


def _reference(checkpoint: DenoiserCheckpoint) -> bytes:
    config, real = checkpoint.config, checkpoint.reference
    assert real is not None
    answer = ReferenceAnswer(
        model=config.name, columns=list(config.data.columns), points=real.points.tolist(), classes=real.labels.tolist()
    )
    return answer.model_dump_json().encode()
