"""What the machine's C library can tell, and what it cannot."""

import ctypes
from types import SimpleNamespace

from service.engine import hardware
from service.engine.hardware import allocated_bytes


def test_an_old_glibc_tells_nothing(monkeypatch):
    """Before 2.33 there is no `mallinfo2`: models then count by their weights."""
    monkeypatch.setattr(hardware, "_is_glibc", lambda: True)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace())
    assert allocated_bytes() == 0
