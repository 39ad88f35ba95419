"""Ray Serve: the service's own app in every replica.

    serve run ops.ray.serve_app:build checkpoints=checkpoints threads=2

A replica forms a batch at every step of all its requests. So Serve must form none: there is no `@serve.batch`, and as
many requests come to a replica at once as its engine takes on. Every replica has every model, and a seed gives the same
bytes on all that compute alike, so no request needs a particular one.

What `service/http/connections.py` limits is a client's connection. Here that is the proxy's, which has its own limits.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.serve import Application, Deployment
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy, BackpressureConfig

from ops.ray.autoscaling import QUEUED_SECONDS
from service import logs
from service.app import create_app
from service.engine.engine import STALE_HEARTBEAT, Engine
from service.settings import Settings

MAX_ONGOING_REQUESTS = 512
"""Of a replica. Serve's default of 5 would starve the batches; what is too much, the engine refuses by itself."""
MAX_QUEUED_REQUESTS = 512
"""That wait in a proxy for a replica; past it the answer is 429."""
RETRY_SECONDS = 2.0
END_SECONDS = 10.0
"""After the last request was answered, or has missed its deadline."""
READY_POLL = 0.1  # seconds


@serve.ingress()
class Replica:
    """One engine with every model, and the app over it."""

    def __init__(self, settings: dict[str, Any]):
        """`settings` by their names in `Settings`; others come from the environment. Raises ValidationError."""
        self._settings = Settings(**settings)
        self._engine: Engine | None = None
        self._died = False

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Called in the replica: an app cannot be pickled."""
        logs.configure(self._settings.log_format)
        app = create_app(self._settings, on_death=self._die)
        running = app.router.lifespan_context

        @contextlib.asynccontextmanager
        async def ready(app: FastAPI) -> AsyncIterator[None]:
            """Serve sends nothing before its models are warmed up."""
            async with running(app):
                self._engine = app.state.spirale.engine
                while not self._engine.snapshot().ready:
                    self.check_health()
                    await asyncio.sleep(READY_POLL)
                yield

        app.router.lifespan_context = ready
        return app

    def check_health(self) -> None:
        """Raises RuntimeError where /readyz would answer that the engine died or does not move; after three in a row
        Serve replaces the replica."""
        if self._died:
            raise RuntimeError("the engine died")
        if self._engine is None:
            return
        engine = self._engine.snapshot()
        if engine.failure is not None:
            raise RuntimeError("the engine died")
        if engine.ready and engine.heartbeat_age > STALE_HEARTBEAT:
            raise RuntimeError(f"the engine has not moved for {engine.heartbeat_age:.0f} s")

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """For `by_queued_seconds`."""
        return {QUEUED_SECONDS: 0.0 if self._engine is None else self._engine.snapshot().backlog_seconds}

    def _die(self) -> None:
        self._died = True


def deployment(settings: dict[str, Any]) -> Deployment:
    """Replicas with these settings, as many as their queues need. One takes a core, or what its options say."""
    return serve.deployment(
        Replica,
        name="spirale",
        max_ongoing_requests=MAX_ONGOING_REQUESTS,
        max_queued_requests=MAX_QUEUED_REQUESTS,
        backpressure_config=BackpressureConfig(status_code=429, retry_after_s=RETRY_SECONDS),
        autoscaling_config=AutoscalingConfig(
            min_replicas=1,
            max_replicas=10,
            upscale_delay_s=10,
            policy=AutoscalingPolicy(policy_function="ops.ray.autoscaling:by_queued_seconds"),
        ),
        health_check_period_s=10,
        graceful_shutdown_timeout_s=_deadline_seconds(settings) + END_SECONDS,
    )


def _deadline_seconds(settings: dict[str, Any]) -> float:
    """Of the replicas. What else their settings name, such as a GPU or a file of keys, need not be on this machine."""
    return Settings(**{name: value for name, value in settings.items() if name == "deadline_seconds"}).deadline_seconds


def build(settings: dict[str, Any]) -> Application:
    """The application: `settings` are the arguments of `serve run`, or `args` of a configuration of Serve."""
    return deployment(settings).bind(settings)
