"""New checkpoints without a restart: what has changed is loaded beside what runs, then takes its place."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from model.checkpoints.folder import CheckpointFolder
from service.checkpoints.catalog import Catalog
from service.checkpoints.folder import catalog_of, served_folder
from service.engine.engine import Engine
from service.engine.job import EngineStopped

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Reloaded:
    """Names of models: served now; of them newly loaded; no longer served. And of checkpoints that are broken: why."""

    serving: list[str]
    loaded: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


class Reloader:
    """Has the catalogue that is served, and reads the folder again when it is told to."""

    def __init__(self, path: Path, folder: CheckpointFolder, catalog: Catalog, engine: Engine):
        """`folder` is what stands at `path`; `catalog` is made of it, and the engine begins with it."""
        self.catalog = catalog
        self._path, self._folder, self._engine = path, folder, engine
        self._lock = asyncio.Lock()
        self._asked: set[asyncio.Task[Reloaded]] = set()

    def schedule(self) -> None:
        """Reload without waiting for it; the log tells how it went."""
        task = asyncio.ensure_future(self.reload())
        self._asked.add(task)
        task.add_done_callback(self._asked.discard)
        task.add_done_callback(_log_failure)

    async def reload(self) -> Reloaded:
        """New requests get what is new as soon as all of it is warm; running ones end on what they began with.

        What is broken, or cannot be warmed up, is refused, and the old one stays in its place, if there is one. So do
        all where nothing would be left. Raises EngineStopped.
        """
        async with self._lock:
            return await self._reload()

    async def _reload(self) -> Reloaded:
        engine, before = self._engine, self.catalog
        # Reading, and the hashes over all weights that a catalogue has, are not for the event loop.
        folder = await asyncio.to_thread(served_folder, self._path)
        folder = folder.refusing({}, instead=self._folder)
        catalog = await asyncio.to_thread(catalog_of, folder)
        failed: dict[str, str] = {}
        for key, served in catalog.by_key.items():
            if key in engine.keys:
                continue
            try:
                await engine.load(key, served)
            except EngineStopped:
                raise
            except Exception as error:
                log.error("model left out", model=served.name, exc_info=error)
                failed[served.name] = f"{type(error).__name__}: {error}"
        if failed:
            folder = folder.refusing(failed, instead=self._folder)
            catalog = await asyncio.to_thread(catalog_of, folder)
        # What stays may be steered by what is new: only what is warm is served.
        cold = [name for name, served in catalog.served.items() if served.key not in engine.keys]
        if cold or not catalog.served:
            folder = CheckpointFolder(
                self._folder.loaded, {**folder.refused, **dict.fromkeys(cold, "it could not be made ready")}
            )
            catalog = before
        self._folder, self.catalog = folder, catalog
        for key in engine.keys - catalog.by_key.keys():
            engine.retire(key)
        fresh = catalog.by_key.keys() - before.by_key.keys()
        done = Reloaded(
            serving=sorted(catalog.served),
            loaded=sorted(catalog.by_key[key].name for key in fresh),
            removed=sorted(before.served.keys() - catalog.served.keys()),
            refused=dict(folder.refused),
        )
        tell = log.warning if done.refused else log.info
        tell("reloaded", loaded=done.loaded, removed=done.removed, refused=done.refused)
        return done


def _log_failure(task: asyncio.Task[Reloaded]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("not reloaded", exc_info=task.exception())
