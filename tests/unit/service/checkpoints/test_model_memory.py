"""Which models are in memory, by an engine that only notes what it is asked to do. Nothing is measured here but
weights, so every number of bytes is known."""

import asyncio
import contextlib
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest

from service.checkpoints import model_memory
from service.checkpoints.catalog import Catalog
from service.checkpoints.model_memory import ModelMemory
from service.engine.job import ModelNotLoaded
from service.metrics import Metrics
from tests.tiny import POINTS, tiny_checkpoint

MANY = 50


class FakeEngine:
    """Ready from the start, with the first model."""

    def __init__(self, *keys: str):
        self.keys = set(keys)
        self.loads: list[str] = []
        self.most = 0
        self.broken: set[str] = set()
        self.slow = asyncio.Event()
        self.slow.set()

    def snapshot(self) -> SimpleNamespace:
        return SimpleNamespace(ready=True, draining=False, failure=None, keys=frozenset(self.keys))

    async def load(self, key, served) -> None:
        await self.slow.wait()
        if key in self.broken:
            raise RuntimeError("it does not compute")
        self.loads.append(key)
        self.keys.add(key)
        self.most = max(self.most, len(self.keys))

    def retire(self, key) -> asyncio.Future[None]:
        self.keys.discard(key)
        return asyncio.gather()


@pytest.fixture(autouse=True)
def only_weights_count(monkeypatch):
    monkeypatch.setattr(model_memory, "allocated_bytes", lambda: 0)


@pytest.fixture(scope="module")
def models():
    one = tiny_checkpoint(POINTS)
    named = (replace(one, config=one.config.model_copy(update={"name": f"m{i}"})) for i in range(MANY))
    return list(Catalog(named).served.values())


def memory_of(models, holds: float, deadline: float = 5.0):
    """A memory that holds so many of them, over an engine that begins with the first."""
    engine = FakeEngine(models[0].key)
    memory = ModelMemory(engine, round(holds * models[0].weight_bytes), deadline, Metrics())
    memory.serve(Catalog(one.checkpoint for one in models))
    return engine, memory


async def use(memory, served) -> None:
    with await memory.hold(served):
        assert served.key in memory._engine.keys


def test_fifty_models_take_turns_in_the_room_of_three(models):
    engine, memory = memory_of(models, 3.5)

    async def all_of_them():
        await memory.fill(Catalog(one.checkpoint for one in models))
        assert engine.keys == {one.key for one in models[:3]}  # as many as there is room for
        for one in models:
            await use(memory, one)
        await asyncio.gather(*(use(memory, one) for one in reversed(models)))

    asyncio.run(all_of_them())
    assert engine.most == 3
    assert engine.loads == [one.key for one in models[1:]] + [one.key for one in reversed(models[:-3])]
    assert memory._bytes == 3 * models[0].weight_bytes


def test_the_least_recently_used_goes(models):
    engine, memory = memory_of(models, 2)

    async def look():
        await memory.fill(Catalog(one.checkpoint for one in models[:2]))
        await use(memory, models[0])
        await use(memory, models[2])

    asyncio.run(look())
    assert engine.keys == {models[0].key, models[2].key}


def test_what_is_held_stays_and_whoever_finds_no_room_waits(models):
    engine, memory = memory_of(models, 1)

    async def look():
        await memory.fill(Catalog([models[0].checkpoint]))
        held = await memory.hold(models[0])
        waiting = asyncio.create_task(use(memory, models[1]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert engine.keys == {models[0].key} and not waiting.done()
        await use(memory, models[0])  # those whose model is there do not wait
        with held:
            pass
        await waiting
        assert engine.keys == {models[1].key}

    asyncio.run(look())


def test_no_room_within_the_deadline_is_refused_with_when_to_ask_again(models):
    _, memory = memory_of(models, 1, deadline=0.5)

    async def look():
        await memory.fill(Catalog([models[0].checkpoint]))
        with (
            await memory.hold(models[0]),
            pytest.raises(ModelNotLoaded, match="m1 did not come into memory") as refused,
        ):
            await memory.hold(models[1])
        assert refused.value.retry_after > 0
        await use(memory, models[1])  # nothing is left behind

    asyncio.run(look())


def test_steady_use_of_one_model_does_not_keep_another_out(models, monkeypatch):
    """Two clients, one of whom is always there, ask for the first; its newcomers wait behind whoever has waited."""
    engine, memory = memory_of(models, 1)
    monkeypatch.setattr(model_memory, "TURN", 0.05)

    async def stay(rounds: int) -> None:
        for _ in range(rounds):
            with await memory.hold(models[0]):
                await asyncio.sleep(0.02)

    async def look():
        await memory.fill(Catalog([models[0].checkpoint]))
        clients = [asyncio.create_task(stay(50))]
        await asyncio.sleep(0.01)
        clients.append(asyncio.create_task(stay(50)))
        await use(memory, models[1])
        assert not any(client.done() for client in clients)
        await asyncio.gather(*clients)
        assert engine.loads == [models[1].key, models[0].key]

    asyncio.run(look())


def test_a_model_that_does_not_load_is_refused_and_others_go_on(models):
    engine, memory = memory_of(models, 2)
    engine.broken = {models[1].key}

    async def look():
        await memory.fill(Catalog(one.checkpoint for one in models[:2]))
        with pytest.raises(ModelNotLoaded, match="m1 cannot be loaded: it does not compute"):
            await memory.hold(models[1])
        await use(memory, models[2])
        engine.broken = set()
        await use(memory, models[1])

    asyncio.run(look())


async def ask_and_go(memory, engine, served) -> None:
    """Somebody asks for a model, and has gone before it is loaded; it loads until `engine.slow` is set."""
    engine.slow.clear()
    gone = asyncio.create_task(memory.hold(served))
    await asyncio.sleep(0.01)
    gone.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await gone


def test_a_load_goes_on_where_the_one_who_asked_has_gone(models):
    engine, memory = memory_of(models, 2)

    async def look():
        await memory.fill(Catalog([models[0].checkpoint]))
        await ask_and_go(memory, engine, models[1])
        other = asyncio.create_task(use(memory, models[2]))
        await asyncio.sleep(0)
        engine.slow.set()
        await other
        assert engine.loads == [models[1].key, models[2].key]
        assert engine.keys == {models[1].key, models[2].key} and engine.most == 2

    asyncio.run(look())


@pytest.mark.parametrize("again", ["hold", "fill"])
def test_a_model_that_still_loads_for_one_who_has_gone_is_not_loaded_again(models, again):
    """Nor is another unloaded for it, and who uses it is counted."""
    engine, memory = memory_of(models, 2)

    async def look():
        await memory.fill(Catalog([models[0].checkpoint]))
        await ask_and_go(memory, engine, models[1])
        both = Catalog(one.checkpoint for one in models[:2])
        other = asyncio.create_task(memory.hold(models[1]) if again == "hold" else memory.fill(both))
        await asyncio.sleep(0.01)
        engine.slow.set()
        await other
        assert engine.loads == [models[1].key] and engine.keys == {one.key for one in models[:2]}
        assert memory._loaded[models[1].key].users == (again == "hold")

    asyncio.run(look())


def test_what_loading_takes_counts_and_the_next_estimate_learns_of_it(models, monkeypatch):
    """Each takes four times its weights: after two, room for two more by weights is no room."""
    engine, memory = memory_of(models, 9)
    weights = models[0].weight_bytes
    monkeypatch.setattr(model_memory, "allocated_bytes", lambda: 4 * weights * (len(engine.loads) + 1))
    memory._before = 0

    async def look():
        await memory.fill(Catalog(one.checkpoint for one in models[:5]))

    asyncio.run(look())
    assert len(engine.keys) == 2 and memory._bytes == 8 * weights


def test_a_model_larger_than_the_limit_is_served_alone(models):
    engine, memory = memory_of(models, 0.5)

    async def look():
        await memory.fill(Catalog(one.checkpoint for one in models[:3]))
        for one in models[:3]:
            await use(memory, one)
            assert engine.keys == {one.key}

    asyncio.run(look())


def test_guidance_models_count_to_the_model_that_they_guide():
    from tests.tiny import IMAGES, tiny_classifier, tiny_control

    base = tiny_checkpoint(IMAGES)
    (alone,) = Catalog([base]).served.values()
    classifier, control = tiny_classifier(IMAGES), tiny_control(base)
    (guided,) = Catalog([base], [classifier], [control]).served.values()
    expected = sum(4 * p.numel() for one in (base, classifier, control) for p in one.network.state_dict().values())
    assert guided.weight_bytes == expected > alone.weight_bytes


def test_a_model_that_a_reload_took_away_while_it_loaded_is_to_be_asked_for_again(models, monkeypatch):
    _, memory = memory_of(models, 2)

    async def look():
        await memory.fill(Catalog([models[0].checkpoint]))
        loop = asyncio.get_running_loop()
        retire = partial(loop.call_soon_threadsafe, memory.retire, models[1].key)
        monkeypatch.setattr(model_memory, "give_back_freed_memory", retire)  # the last that a load waits for
        with pytest.raises(ModelNotLoaded, match="m1 was just replaced"):
            await memory.hold(models[1])

    asyncio.run(look())


def test_a_model_that_is_not_served_any_more_does_not_come_back(models):
    """A request that was read under the catalogue before may ask for it after the reload."""
    engine, memory = memory_of(models, 2)

    async def look():
        await memory.fill(Catalog([models[0].checkpoint]))
        memory.serve(Catalog([models[0].checkpoint]))
        with pytest.raises(ModelNotLoaded, match="m1 was just replaced"):
            await memory.hold(models[1])
        await use(memory, models[0])

    asyncio.run(look())
    assert engine.loads == []
