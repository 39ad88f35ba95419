"""What only whoever has the key may do."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter

from service.http.problems import Problem, documented
from service.state import AppState

router = APIRouter(prefix="/admin", tags=["admin"])


@router.post("/reload", responses=documented(401, 403, 413, 415, 503))
async def reload(state: AppState) -> dict[str, Any]:
    """Read the checkpoints' folder again. Running requests end on the weights that they began with; what is broken is
    refused, and the old one goes on being served."""
    if not state.has_key:
        raise Problem(403, "there is no API key, so anybody could ask for this: set one, or send the process SIGHUP")
    return asdict(await state.reloader.reload())
