"""Is it alive, is it ready, how is it doing."""

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from service.engine.engine import STALE_HEARTBEAT
from service.http.problems import UNKEPT, Problem, documented
from service.state import AppState

router = APIRouter(tags=["operation"])


@router.get("/healthz")
async def healthz(response: Response) -> dict[str, str]:
    """The process answers."""
    response.headers.update(UNKEPT)
    return {"status": "alive"}


@router.get("/readyz", responses=documented(503))
async def readyz(response: Response, state: AppState) -> dict[str, str]:
    """Models are loaded and warmed up, and the engine moves, on one device at least."""
    engine = state.engine.snapshot()
    if engine.failure is not None:
        raise Problem(503, "the engine died; the process is about to end")
    if engine.draining:
        raise Problem(503, "draining: no new work is taken")
    if not engine.ready:
        ready, total = engine.warmed
        detail = f"loading: {ready} of {total} models are warmed up"
        raise Problem(503, detail, headers={"Retry-After": "2"})
    if engine.heartbeat_age > STALE_HEARTBEAT:
        raise Problem(503, f"the engine has not moved for {engine.heartbeat_age:.0f} s")
    response.headers.update(UNKEPT)
    return {"status": "ready"}


@router.get("/metrics", response_class=Response, responses=documented(401))
async def metrics(request: Request, state: AppState) -> Response:
    """Prometheus; with traces also as OpenMetrics, for the exemplars."""
    body, media_type = state.metrics.exposition(), CONTENT_TYPE_LATEST
    if state.traced:
        body, media_type = state.metrics.negotiated_exposition(request.headers.get("accept", ""))
    return Response(body, headers=UNKEPT | {"Content-Type": media_type})
