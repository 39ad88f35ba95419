"""GET /models: what may be asked."""

from typing import Any

from fastapi import APIRouter

from service.problems import documented
from service.state import AppState

router = APIRouter(tags=["models"])


@router.get("/models", responses=documented(401))
async def models(state: AppState) -> dict[str, Any]:
    """Per dataset: labels, shape, samplers, guidances, and its checkpoints with defaults and measured figures."""
    return state.catalog.describe(state.engine.describe())
