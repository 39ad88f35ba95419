"""What the routes of one app share."""

from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from service.catalog import Catalog
from service.engine.engine import Engine
from service.metrics import Metrics


@dataclass(frozen=True)
class State:
    catalog: Catalog
    engine: Engine
    metrics: Metrics
    encoding: Executor  # encodes off the event loop


def _state(request: Request) -> State:
    return request.app.state.spirale


AppState = Annotated[State, Depends(_state)]
