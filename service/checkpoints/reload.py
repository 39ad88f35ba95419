"""New checkpoints without a restart: what has changed is loaded beside what runs, then takes its place."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from service.checkpoints.catalog import Catalog
from service.checkpoints.folder import CheckpointFolder, read_checkpoint_folder
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

    def __init__(self, folder: Path, checkpoint_folder: CheckpointFolder, catalog: Catalog, engine: Engine):
        """`catalog` is what is on the `checkpoint_folder`, and what the engine begins with."""
        self.catalog = catalog
        self._folder, self._shelf, self._engine = folder, checkpoint_folder, engine
        self._lock = asyncio.Lock()
        self._asked: set[asyncio.Task] = set()

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
        checkpoint_folder = await asyncio.to_thread(read_checkpoint_folder, self._folder)
        checkpoint_folder = checkpoint_folder.refusing({}, instead=self._shelf)
        catalog = await asyncio.to_thread(checkpoint_folder.catalog)
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
            checkpoint_folder = checkpoint_folder.refusing(failed, instead=self._shelf)
            catalog = await asyncio.to_thread(checkpoint_folder.catalog)
        # What stays may be steered by what is new: only what is warm is served.
        cold = [name for name, served in catalog.served.items() if served.key not in engine.keys]
        if cold or not catalog.served:
            checkpoint_folder = CheckpointFolder(
                self._shelf.loaded, checkpoint_folder.refused | dict.fromkeys(cold, "it could not be made ready")
            )
            catalog = before
        self._shelf, self.catalog = checkpoint_folder, catalog
        for key in engine.keys - catalog.by_key.keys():
            engine.retire(key)
        fresh = catalog.by_key.keys() - before.by_key.keys()
        done = Reloaded(
            serving=sorted(catalog.served),
            loaded=sorted(catalog.by_key[key].name for key in fresh),
            removed=sorted(before.served.keys() - catalog.served.keys()),
            refused=checkpoint_folder.refused,
        )
        tell = log.warning if done.refused else log.info
        tell("reloaded", loaded=done.loaded, removed=done.removed, refused=done.refused)
        return done


def _log_failure(task: asyncio.Task) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("not reloaded", exc_info=task.exception())
