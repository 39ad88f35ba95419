"""Tensors in the cache: made once, and again when they are made from something else."""

import re

import pytest
import torch
from safetensors import SafetensorError

from training.data.stored_tensors import StoredTensors
from training.data.training_set import DataError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_they_are_made_once_for_all_that_they_depend_on():
    asked = []

    def make(value):
        return lambda: asked.append(value) or {"a": torch.full((2, 3), value)}

    first = StoredTensors("rows of two", (1, "x"))
    assert not first.known
    assert first.get(make(1.0))["a"].tolist() == [[1.0] * 3] * 2
    again = StoredTensors("rows of two", (1, "x"))
    assert again.known and again.get(make(2.0))["a"].unique().tolist() == [1.0]
    assert StoredTensors("rows of two", (2, "x")).get(make(3.0))["a"].unique().tolist() == [3.0]
    assert StoredTensors("rows of ten", (1, "x")).get(make(4.0))["a"].unique().tolist() == [4.0]
    assert asked == [1.0, 3.0, 4.0]


def test_weights_of_any_memory_format_come_back():
    weight = torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last)
    kept = StoredTensors("weights", ()).get(lambda: {"weight": weight})
    assert torch.equal(kept["weight"], weight)
    assert torch.equal(StoredTensors("weights", ()).get(dict)["weight"], weight)


def test_what_fails_on_the_way_leaves_nothing(cache, monkeypatch):
    stored = StoredTensors("runs", (7,))
    with pytest.raises(KeyboardInterrupt):
        stored.get(lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    assert not stored.known

    def full(tensors, path):
        path.write_bytes(b"half")
        raise SafetensorError("No space left on device")

    monkeypatch.setattr("training.data.stored_tensors.save_file", full)
    with pytest.raises(DataError, match=r"runs cannot be kept there \(No space left on device\): set XDG_CACHE_HOME"):
        stored.get(lambda: {"a": torch.zeros(1)})
    assert not stored.known and not list(cache.rglob("partial"))
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    with pytest.raises(DataError, match=re.escape("/proc/nowhere/spirale/runs-")):
        stored.get(dict)
