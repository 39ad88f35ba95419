"""FastAPI and a plain loop in its thread pool: what one writes in an afternoon. PEER_WORKERS threads sample."""

import contextlib
import os
import sys
from collections.abc import AsyncIterator

import anyio.to_thread
import uvicorn
from fastapi import FastAPI, Response
from pydantic import BaseModel

from benchmarks.peers.shared_sampler import Sampler


class Body(BaseModel):
    label: int
    steps: int
    seed: int


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = int(os.environ["PEER_WORKERS"])
    app.state.sampler = Sampler()
    yield


app = FastAPI(lifespan=lifespan)


@app.get("/health")
async def health() -> dict[str, str]:
    return {}


@app.post("/sample")
def sample(body: Body) -> Response:
    return Response(app.state.sampler([body.model_dump()])[0], media_type="image/png")


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning")
