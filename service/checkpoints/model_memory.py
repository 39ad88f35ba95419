"""Which models are in memory: as many as a limit leaves. The least recently used goes for one that is asked for."""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Awaitable, Collection, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import structlog

from service.checkpoints.catalog import Catalog
from service.engine.engine import Engine
from service.engine.hardware import allocated_bytes, give_back_freed_memory
from service.engine.job import EngineStopped, ModelNotLoaded
from service.engine.served_model import Served
from service.metrics import Metrics

log = structlog.get_logger(__name__)

LOOK_EVERY = 0.05  # seconds, while the engine starts
ROOM_AFTER = 5  # seconds: when to ask again for a model that did not come into memory in time
TURN = 2.0  # seconds, while another model is waited for, that models in memory take more jobs
BROKEN_FOR = 60  # seconds: when to ask again for one that could not be loaded


@dataclass(eq=False)
class _Loaded:
    """A model in memory. `users`: those who keep it there."""

    served: Served
    bytes: int
    users: int = 0


class ModelMemory:
    """Loads a model for whoever holds it, and unloads what nobody holds. Belongs to the event loop.

    Without a limit every model of the catalogue is in memory from the start, and nothing is unloaded. With one, models
    are loaded one at a time, in the order in which they are asked for. What a model takes is measured while it is
    loaded; before that it counts as much for its weights as the others took for theirs. So the first loading of a model
    may go past the limit, until others are unloaded for it. A model that is larger than the limit is in memory alone.
    Whoever waits for room longer than TURN is not overtaken: who comes later waits behind, for any model.
    """

    def __init__(self, engine: Engine, limit: int | None, deadline: float, metrics: Metrics):
        """limit     bytes that the models may take in all; None for no limit
        deadline  seconds that a request may wait for its model
        """
        self.limited = limit is not None
        self._engine, self._deadline, self._metrics = engine, deadline, metrics
        self._limit = math.inf if limit is None else limit
        self._served: Collection[str] = ()  # keys
        self._loaded: dict[str, _Loaded] = {}  # by key, the least recently used first
        self._measured: dict[str, tuple[int, int]] = {}  # by key: the bytes of its weights, and those that it took
        self._turn = asyncio.Lock()  # of whoever loads
        self._loading: asyncio.Task[None] | None = None  # it goes on where the one who asked has gone
        self._freed = asyncio.Event()
        self._closed = False  # to newcomers: somebody has waited for room long enough
        self._before = allocated_bytes()
        metrics.models_loaded.set_function(lambda: len(self._loaded))
        metrics.model_bytes.set_function(lambda: self._bytes)

    async def fill(self, catalog: Catalog) -> None:
        """Wait until the engine has the models that it began with, then load others while there is room."""
        async with self._own_turn():
            while not (now := self._engine.snapshot()).ready:
                if now.draining or now.failure is not None:
                    return
                await asyncio.sleep(LOOK_EVERY)
            ready = [served for key, served in catalog.by_key.items() if key in now.keys]
            weights = sum(served.weight_bytes for served in ready)
            took = max(weights, allocated_bytes() - self._before)
            for served in ready:
                self._add(served, round(took * served.weight_bytes / weights))
        for served in catalog.by_key.values() if self.limited else ():
            async with self._own_turn():
                if served.key not in self._loaded and self._bytes + self._needed(served) <= self._limit:
                    with contextlib.suppress(ModelNotLoaded):  # the log has it, and whoever asks is told
                        await self._load(served)

    def serve(self, catalog: Catalog) -> None:
        """From now on only its models are loaded: a request may have been read under the catalogue before."""
        self._served = catalog.by_key.keys()

    def held(self, served: Served) -> AbstractContextManager[None] | None:
        """Keeps the model in memory from now until the context ends; None where it is not there, or another's turn has
        come."""
        one = None if self._closed else self._loaded.pop(served.key, None)
        if one is None:
            return None
        self._loaded[served.key] = one  # the most recently used
        one.users += 1
        return self._release_after(one)

    async def hold(self, served: Served) -> AbstractContextManager[None]:
        """The same, where it waits for the model to be loaded. Holds nothing while the engine takes no work.

        Raises ModelNotLoaded where it did not come into memory within the deadline, or cannot be loaded.
        """
        found = self.held(served)
        if found is not None or not self._engine.snapshot().ready:
            return found or contextlib.nullcontext()
        try:
            async with asyncio.timeout(self._deadline), self._own_turn():
                found = self.held(served)
                if found is None and served.key in self._served:
                    await self._make_room(self._needed(served))
                    await self._load(served)
                    found = self.held(served)
        except TimeoutError:
            raise ModelNotLoaded(
                f"the model {served.name} did not come into memory within {self._deadline:g} s", ROOM_AFTER
            ) from None
        if found is None:  # a reload took it off the catalogue
            raise ModelNotLoaded(f"the model {served.name} was just replaced", ROOM_AFTER)
        return found

    def askable(self, catalog: Catalog) -> frozenset[str]:
        """The keys of models that can be asked: in memory, or to be loaded then."""
        return frozenset(catalog.by_key) if self.limited else self._engine.snapshot().keys

    async def load(self, served: Served) -> None:
        """For a reload, which waits as long as it takes. Raises what the model failed with, or EngineStopped."""
        await self._engine.load(served.key, served)
        self._add(served, self._needed(served))

    def retire(self, key: str) -> Awaitable[object]:
        """Unload a model that is no longer served, when what was accepted is done. It may be awaited."""
        self._loaded.pop(key, None)
        self._freed.set()
        return self._engine.retire(key)

    @property
    def _bytes(self) -> int:
        return sum(one.bytes for one in self._loaded.values())

    def _needed(self, served: Served) -> int:
        """Bytes: as measured before, else as the others' weights tell."""
        if served.key in self._measured:
            return self._measured[served.key][1]
        weights, took = (sum(column) for column in zip((0, 0), *self._measured.values(), strict=True))
        return round(served.weight_bytes * (took / weights if weights else 1))

    @contextlib.asynccontextmanager
    async def _own_turn(self) -> AsyncIterator[None]:
        """Nobody else loads until the context ends, also nobody who has gone."""
        async with self._turn:
            if self._loading is not None:
                await asyncio.wait([self._loading])
            yield

    async def _make_room(self, needed: int) -> None:
        closing = asyncio.get_running_loop().call_later(TURN, self._close)
        try:
            while self._loaded and self._bytes + needed > self._limit:
                if not await self._unload_one():
                    self._freed.clear()
                    await self._freed.wait()
        finally:
            closing.cancel()
            self._closed = False

    def _close(self) -> None:
        self._closed = True

    async def _unload_one(self) -> bool:
        """The one that was used least recently of those that nobody holds: its memory is free when this returns. False
        where there is none."""
        unused = next((key for key, one in self._loaded.items() if not one.users), None)
        if unused is None:
            return False
        self._metrics.model_evictions.inc()
        await self.retire(unused)
        await asyncio.to_thread(give_back_freed_memory)
        return True

    async def _load(self, served: Served) -> None:
        """Raises ModelNotLoaded."""
        self._loading = asyncio.create_task(self._measure(served))
        self._loading.add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            await asyncio.shield(self._loading)
        except EngineStopped:
            raise
        except Exception as error:
            log.error("a model cannot be loaded", model=served.name, exc_info=error)
            raise ModelNotLoaded(f"the model {served.name} cannot be loaded: {error}", BROKEN_FOR) from error

    async def _measure(self, served: Served) -> None:
        """Load it, see what it takes, and unload others where that is too much."""
        before = allocated_bytes()
        await self._engine.load(served.key, served)
        took = max(served.weight_bytes, allocated_bytes() - before)
        self._metrics.model_loads.inc()
        one = self._add(served, took)
        one.users += 1  # it is not to be unloaded for itself
        while self._bytes > self._limit and await self._unload_one():
            pass
        one.users -= 1
        self._freed.set()
        await asyncio.to_thread(give_back_freed_memory)  # what loading alone took

    def _add(self, served: Served, took: int) -> _Loaded:
        self._measured[served.key] = served.weight_bytes, took
        one = self._loaded[served.key] = _Loaded(served, took)
        return one

    @contextlib.contextmanager
    def _release_after(self, one: _Loaded) -> Iterator[None]:
        try:
            yield
        finally:
            one.users -= 1
            self._freed.set()
