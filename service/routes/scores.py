"""GET /score: where the model pulls noisy points to."""

from typing import Annotated

import numpy as np
from fastapi import APIRouter, Depends, Query, Request, Response

from service.http.bodiless import head
from service.http.key_ring import caller_of
from service.http.lifecycle import CountedRoute, counted, in_memory, off_the_loop, while_connected
from service.http.middleware import BODILESS
from service.http.problems import documented
from service.http.repeated_fields import each_once
from service.requests.score_grid import ScoreAnswer, ScoreGrid, ScoreQuery, score_grid
from service.state import AppState

router = APIRouter(tags=["models"], route_class=CountedRoute)


@router.get(
    "/score",
    response_class=Response,
    responses={200: {"model": ScoreAnswer}, **documented(401, 404, 422, 429, 500, 503, 504)},
    dependencies=[Depends(each_once(ScoreQuery))],
)
async def get_score(query: Annotated[ScoreQuery, Query()], request: Request, state: AppState) -> Response:
    """∇ log p(x_t) of a model of two-dimensional points, on a grid: one network evaluation a point, two with guidance.
    It is batched, bounded and counted like samples."""
    if request.scope.get(BODILESS):
        score_grid(state.catalog, query)
        return head("application/json")
    with counted(query.dataset, state):
        grid = score_grid(state.catalog, query)
        with await in_memory(request, grid.served, state):
            samples = await while_connected(request, state.engine.sample(grid.job, caller_of(request).key))
        return Response(await off_the_loop(state, _as_json, grid, samples.data), media_type="application/json")


def _as_json(grid: ScoreGrid, samples: np.ndarray) -> bytes:
    return grid.answer(samples).model_dump_json().encode()
