"""GET /models: what may be asked, and the real points that samples are looked at against."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from service.problems import Problem, documented
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
    return state.catalog.describe(state.engine.describe())


@router.get("/models/{name}/reference", responses=documented(401, 404))
async def reference(name: str, state: AppState) -> ReferenceAnswer:
    """Up to 2,000 real points, to see how near samples come; for models that have some."""
    having = {name: of.checkpoint for name, of in state.catalog.served.items() if of.checkpoint.reference is not None}
    if name not in having:
        raise Problem(404, f"there are no reference points of {name!r}; of these there are: {', '.join(having) or '–'}")
    kept = having[name].reference
    columns = having[name].config.data.columns
    return ReferenceAnswer(model=name, columns=list(columns), points=kept.points.tolist(), classes=kept.labels.tolist())
