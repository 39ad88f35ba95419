"""What the routes of one app share."""

from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from service.checkpoints.catalog import Catalog
from service.checkpoints.model_memory import ModelMemory
from service.checkpoints.reload import Reloader
from service.engine.engine import Engine
from service.http.bodies import Bodies
from service.http.decoding import Decoding
from service.http.key_ring import KeyRing
from service.jobs.manager import JobManager
from service.metrics import Metrics


@dataclass(frozen=True)
class State:
    engine: Engine
    reloader: Reloader
    memory: ModelMemory
    metrics: Metrics
    encoding: Executor  # encodes off the event loop
    decoding: Decoding  # and decodes
    bodies: Bodies
    jobs: JobManager
    keys: KeyRing
    traced: bool = False  # do traces of requests go to a collector?
    embed_origins: tuple[str, ...] = ()  # whose pages may show the playground in a frame

    @property
    def catalog(self) -> Catalog:
        """As of now: a reload makes another."""
        return self.reloader.catalog


async def _state(request: Request) -> State:  # async: for a plain function FastAPI goes to another thread and back
    state: State = request.app.state.spirale
    return state


AppState = Annotated[State, Depends(_state)]
