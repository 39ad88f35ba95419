"""What the routes of one app share."""

from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from service.catalog import Catalog
from service.engine.engine import Engine
from service.metrics import Metrics

if TYPE_CHECKING:
    from service.reloading import Reloader


@dataclass
class State:
    catalog: Catalog  # another one after every reload
    engine: Engine
    metrics: Metrics
    encoding: Executor  # encodes off the event loop
    has_key: bool  # are requests asked for an API key?
    reloader: "Reloader" = field(init=False)


def _state(request: Request) -> State:
    return request.app.state.spirale


AppState = Annotated[State, Depends(_state)]
