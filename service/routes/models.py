"""GET /models: what may be asked, and the real points that samples are looked at against."""

from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from model.checkpoints.denoiser import DenoiserCheckpoint
from service.http.lifecycle import off_the_loop
from service.http.problems import Problem, documented
from service.responses.models_answer import models_answer
from service.state import AppState

router = APIRouter(tags=["models"])


class ReferenceAnswer(BaseModel):
    """Some of the real points of a model's data."""

    model: str
    columns: list[str] = Field(description="What the dimensions are called.")
    points: list[list[float]] = Field(description="In the data's own units.")
    classes: list[int] = Field(description="The number of each one's class; -1 where there are none.")


@router.get("/models", responses=documented(401))
async def models(state: AppState) -> dict[str, Any]:
    """Per dataset: labels, shape, samplers, guidances, and its checkpoints with defaults and measured figures."""
    return models_answer(state.catalog, state.engine.snapshot())


@router.get(
    "/models/{name}/reference",
    response_class=Response,
    responses={200: {"model": ReferenceAnswer}, **documented(401, 404)},
)
async def reference(name: str, state: AppState) -> Response:
    """Up to 2,000 real points, to see how near samples come; for models that have some."""
    having = {name: of.checkpoint for name, of in state.catalog.served.items() if of.checkpoint.reference is not None}
    if name not in having:
        raise Problem(404, f"there are no reference points of {name!r}; of these there are: {', '.join(having) or '–'}")
    return Response(await off_the_loop(state, _reference, having[name]), media_type="application/json")


def _reference(of: DenoiserCheckpoint) -> bytes:
    kept, columns = of.reference, list(of.config.data.columns)
    answer = ReferenceAnswer(
        model=of.config.name, columns=columns, points=kept.points.tolist(), classes=kept.labels.tolist()
    )
    return answer.model_dump_json().encode()
