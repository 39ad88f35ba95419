"""New checkpoints without a restart: models that changed are loaded beside the running ones, then take their place."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog

from model.checkpoints.folder import CheckpointFolder
from service.checkpoints.catalog import Catalog
from service.checkpoints.folder import catalog_of, served_folder
from service.checkpoints.model_memory import ModelMemory
from service.engine.engine import Engine
from service.engine.job import EngineStopped
from service.requests.ways import Ways, ways_of

log = structlog.get_logger(__name__)

LOOK_EVERY = 0.05  # seconds, while the engine starts


@dataclass(frozen=True)
class Reloaded:
    """serving  names of the models that are served now
    loaded   those of them that are new
    removed  names of models that are no longer served
    refused  why a checkpoint is not served, by the name of its folder
    """

    serving: list[str]
    loaded: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


class Reloader:
    """Holds the catalogue that is served and the ways to ask it, and reads the folder again when it is asked to."""

    def __init__(self, path: Path, folder: CheckpointFolder, catalog: Catalog, engine: Engine, memory: ModelMemory):
        """`folder` is what stands at `path`; `catalog` is made of it, and the engine begins with it."""
        self.catalog, self.ways = catalog, ways_of(catalog)
        self._path, self._folder, self._engine, self._memory = path, folder, engine, memory
        memory.serve(catalog)
        self._lock = asyncio.Lock()
        self._running: set[asyncio.Task[Reloaded]] = set()

    def schedule(self) -> None:
        """Reload without waiting for it; the log says how it went."""
        task = asyncio.ensure_future(self.reload())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        task.add_done_callback(_log_failure)

    async def leave_out_cold(self) -> None:
        """After the start: what no device could make ready is not served, as after a reload. Where memory is limited, a
        model is made ready when somebody asks for it."""
        if self._memory.limited:
            return
        while not all(worker.loaded or worker.ended for worker in self._engine.snapshot().workers):
            await asyncio.sleep(LOOK_EVERY)
        async with self._lock:
            ready = self._engine.snapshot().keys
            cold = [name for name, served in self.catalog.served.items() if served.key not in ready]
            if ready and cold:
                failed = dict.fromkeys(cold, "it could not be made ready")
                folder = self._folder.refusing(failed, instead=CheckpointFolder({}, {}, {}))
                catalog = await asyncio.to_thread(catalog_of, folder)
                ways = await asyncio.to_thread(ways_of, catalog)
                self._swap(folder, catalog, ways)

    async def reload(self) -> Reloaded:
        """New requests get the new models as soon as all of them are warm. Running ones end on those they began with.

        A checkpoint that is broken, or cannot be warmed up, is refused; the old one of that name stays, if any.
        Where nothing would be left, everything stays. Where memory is limited, new models are loaded when somebody asks
        for them. Raises EngineStopped.
        """
        async with self._lock:
            return await self._reload()

    async def _reload(self) -> Reloaded:
        engine, memory, before = self._engine, self._memory, self.catalog
        # Reading checkpoints, and hashing all their weights for the catalogue, is not for the event loop.
        folder = await asyncio.to_thread(served_folder, self._path, in_memory=not memory.limited)
        folder = folder.refusing({}, instead=self._folder)
        catalog = await asyncio.to_thread(catalog_of, folder)
        failed: dict[str, str] = {}
        ready = engine.snapshot().keys
        for key, served in catalog.by_key.items():
            if key in ready or memory.limited:
                continue
            try:
                await memory.load(served)
            except EngineStopped:
                raise
            except Exception as error:
                log.error("model left out", model=served.name, exc_info=error)
                failed[served.name] = f"{type(error).__name__}: {error}"
        if failed:
            folder = folder.refusing(failed, instead=self._folder)
            catalog = await asyncio.to_thread(catalog_of, folder)
        # A model that stays may have a new guidance model: only models that are warm are served.
        ready = engine.snapshot().keys
        needed = {} if memory.limited else catalog.served
        cold = [name for name, served in needed.items() if served.key not in ready]
        if cold or not catalog.served:
            not_ready = folder.by_folder(dict.fromkeys(cold, "it could not be made ready"))
            folder = replace(self._folder, refused={**folder.refused, **not_ready})
            catalog = before
        ways = await asyncio.to_thread(ways_of, catalog)
        self._swap(folder, catalog, ways)
        for key in ready - catalog.by_key.keys():
            memory.retire(key)
        fresh = catalog.by_key.keys() - before.by_key.keys()
        done = Reloaded(
            serving=sorted(catalog.served),
            loaded=sorted(catalog.by_key[key].name for key in fresh),
            removed=sorted(before.served.keys() - catalog.served.keys()),
            refused=dict(folder.refused),
        )
        report = log.warning if done.refused else log.info
        report("reloaded", loaded=done.loaded, removed=done.removed, refused=done.refused)
        return done

    def _swap(self, folder: CheckpointFolder, catalog: Catalog, ways: Mapping[str, Ways]) -> None:
        self._folder, self.catalog, self.ways = folder, catalog, ways
        self._memory.serve(catalog)


def _log_failure(task: asyncio.Task[Reloaded]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("not reloaded", exc_info=task.exception())
