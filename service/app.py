"""Settings in, app out. No module-level state: several apps may live in one process."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
from fastapi import FastAPI

from service import __version__
from service.checkpoints.catalog import Catalog
from service.checkpoints.folder import catalog_of, served_folder
from service.checkpoints.model_memory import ModelMemory
from service.checkpoints.reload import Reloader
from service.engine.engine import Engine
from service.engine.hardware import DEFAULT_THREADS, one_thread_here
from service.engine.options import EngineOptions
from service.http import contract, problems
from service.http.bodies import Bodies
from service.http.decoding import Decoding
from service.http.key_ring import KeyRing
from service.http.middleware import (
    ApiKey,
    BodyLimit,
    HeadAsGet,
    InternalError,
    JsonBody,
    KeyUse,
    RequestContext,
    RequestTarget,
)
from service.http.openai_errors import OpenAIErrors
from service.http.security_headers import Cors, SecurityHeaders
from service.http.trace_context import TraceContext
from service.jobs.manager import JobManager
from service.metrics import Metrics
from service.requests.field_names import field_meant_at
from service.requests.schemas import ranges
from service.routes import (
    admin,
    data_sets,
    docs,
    health,
    models,
    openai,
    openai_batches,
    openai_edits,
    playground,
    sample,
    scores,
)
from service.settings import Settings
from service.state import State

if TYPE_CHECKING:
    from service.open_telemetry import Traces

log = structlog.get_logger(__name__)

ENCODING_THREADS = 2
WATCH_EVERY = 0.5  # seconds
STUCK_SECONDS = 30.0  # without a heartbeat, after which the engine counts as dead …
LOADING_SECONDS = 900.0  # … and while it loads a model, where kernels may have to be compiled


class NothingToServe(Exception):
    """There is no usable checkpoint."""


def create_app(settings: Settings, on_death: Callable[[], None] = lambda: None) -> FastAPI:
    """The service over the checkpoints of `settings`.

    `on_death` is called from the event loop when the engine's thread has ended by itself or does not move any more, or
    when the event loop finds no memory: nothing can be answered, and the process should end so that something restarts
    it.

    Raises NothingToServe.
    """
    one_thread_here()
    limit = settings.memory_limit
    checkpoint_folder = served_folder(settings.checkpoints, in_memory=limit is None)
    catalog = catalog_of(checkpoint_folder)
    if not catalog.served:
        raise NothingToServe(f"no usable checkpoint in {settings.checkpoints}: train one, or name another folder")
    metrics = Metrics()
    traces = None if settings.traces is None else _traces(settings.traces, settings.traced_share)
    api_key = None if settings.api_key is None else settings.api_key.get_secret_value()
    keys = KeyRing(api_key, settings.keys_file)
    bodies = Bodies()
    options = EngineOptions(
        device=settings.device,
        backend=settings.backend,
        precision=settings.precision,
        batch_sizes=settings.batch_sizes,
        compile=settings.compile,
        load="all" if limit is None else "first",
        threads=settings.threads or DEFAULT_THREADS,
        max_queued_seconds=settings.max_queued_seconds,
        deadline_seconds=settings.deadline_seconds,
    )

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        asyncio.get_running_loop().set_exception_handler(partial(_on_loop_error, on_death))
        engine = Engine(catalog.by_key, options, metrics)
        memory = ModelMemory(engine, limit, settings.deadline_seconds, metrics)
        with (
            ThreadPoolExecutor(ENCODING_THREADS, thread_name_prefix="encode") as encoding,
            Decoding(metrics) as decoding,
        ):
            reloader = Reloader(settings.checkpoints, checkpoint_folder, catalog, engine, memory)
            jobs = JobManager(settings.job_options, engine, memory, lambda: reloader.catalog, keys.of_owner, metrics)
            app.state.spirale = State(
                engine,
                reloader,
                memory,
                metrics,
                encoding,
                decoding,
                bodies,
                jobs,
                keys=keys,
                traced=traces is not None,
                embed_origins=settings.embed_origins,
            )
            _start_threads(encoding)
            engine.start()
            jobs.start()
            watch = asyncio.create_task(_watch(engine, on_death))
            fill = asyncio.create_task(_fill(memory, reloader, catalog))
            try:
                yield
            finally:
                grace = 0 if watch.done() else settings.drain_seconds  # an engine that died finishes nothing
                watch.cancel()
                fill.cancel()
                await jobs.close()
                await asyncio.get_running_loop().run_in_executor(encoding, engine.stop, grace)
                if traces is not None:
                    await asyncio.get_running_loop().run_in_executor(encoding, traces.close)

    app = FastAPI(
        title="Spirale",
        description="Samples of small diffusion models.",
        version=__version__,
        lifespan=lifespan,
        servers=contract.SERVERS,
        redirect_slashes=False,  # the framework's redirects name the Host of the request; see service/http/problems.py
        docs_url=None,  # of our own: service/routes/docs.py
        redoc_url=None,
    )
    contract.install(app)
    problems.install(
        app,
        lambda: {**ranges(), "dataset": f"one of {', '.join(sorted(app.state.spirale.catalog.datasets))}"},
        field_meant_at,
    )
    of_samples = (sample, scores, data_sets, models, openai, openai_edits, openai_batches)
    for routes in (*of_samples, health, admin, docs, playground):
        app.include_router(routes.router)
    # The last that is added stands first.
    app.add_middleware(JsonBody)
    app.add_middleware(BodyLimit, bodies=bodies, limit=settings.body_limit, seconds=settings.client_seconds)
    if keys:
        app.add_middleware(ApiKey)
    app.add_middleware(InternalError)
    app.add_middleware(HeadAsGet)
    if settings.cors_origins:
        app.add_middleware(Cors, origins=settings.cors_origins)
    app.add_middleware(OpenAIErrors)
    if keys:
        app.add_middleware(KeyUse, keys=keys, metrics=metrics)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(RequestContext)
    if traces is not None:
        app.add_middleware(TraceContext, traces=traces)
    app.add_middleware(RequestTarget)
    return app


async def _fill(memory: ModelMemory, reloader: Reloader, catalog: Catalog) -> None:
    await memory.fill(catalog)
    await reloader.leave_out_cold()


def _traces(address: str, share: float) -> "Traces":
    from service.open_telemetry import Traces, collector_at  # of the extra otel, and half a second to import

    return Traces(collector_at(address), share)


def _start_threads(pool: ThreadPoolExecutor) -> None:
    """All of them, now: when memory has run out none could be started for the request that needs it first."""
    together = threading.Barrier(ENCODING_THREADS + 1)
    for _ in range(ENCODING_THREADS):
        pool.submit(together.wait)
    together.wait()


def _on_loop_error(on_death: Callable[[], None], loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What is raised where nobody waits for it. Without memory to read what clients send, nobody would be answered."""
    loop.default_exception_handler(context)
    if isinstance(context.get("exception"), MemoryError):
        log.critical("the event loop has no memory")
        on_death()


async def _watch(engine: Engine, on_death: Callable[[], None]) -> None:
    """Give up devices that are stuck; returns when none is left."""
    while (now := engine.snapshot()).failure is None:
        for worker in now.workers:
            stuck = worker.heartbeat_age > (LOADING_SECONDS if worker.warming else STUCK_SECONDS)
            if stuck and not worker.ended:
                log.critical("the engine is stuck", device=worker.device, heartbeat_age=round(worker.heartbeat_age))
                engine.give_up(worker.device)
        await asyncio.sleep(WATCH_EVERY)
    on_death()
