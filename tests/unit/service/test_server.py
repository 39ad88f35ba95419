"""Signals of a running server."""

import os
import signal

import uvicorn

from service.http.server import Server


def test_a_second_interrupt_ends_the_process(monkeypatch):
    """A person at a terminal does not want to wait; nothing is answered any more, and no trace is shown."""
    ended = []
    monkeypatch.setattr(os, "_exit", ended.append)
    server = Server(uvicorn.Config(None), 0, on_notice=lambda: None, on_hangup=lambda: None)
    server.handle_exit(signal.SIGINT, None)
    assert server.should_exit and ended == []
    server.handle_exit(signal.SIGINT, None)
    assert ended == [130]
