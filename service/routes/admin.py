"""What only whoever has the key may do."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request

from service.http.key_ring import caller_of
from service.http.problems import Problem, documented
from service.state import AppState

router = APIRouter(prefix="/admin", tags=["admin"])


@router.post("/reload", responses=documented(401, 403, 413, 415, 503))
async def reload(request: Request, state: AppState) -> dict[str, Any]:
    """Read the checkpoints' folder again. Running requests end on the weights that they began with; what is broken is
    refused, and the old one goes on being served."""
    if not state.keys:
        raise Problem(403, "there is no API key, so anybody could ask for this: set one, or send the process SIGHUP")
    if not (caller := caller_of(request)).admin:
        raise Problem(403, f"the key {caller.key.name} may not do this: `admin = true` in the file of keys allows it")
    return asdict(await state.reloader.reload())
