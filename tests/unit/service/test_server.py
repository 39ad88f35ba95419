"""Signals of a running server, and the socket that it listens on."""

import os
import signal
import socket

import uvicorn

from service.http.server import Server, bound_socket


def test_a_second_interrupt_ends_the_process(monkeypatch):
    """A person at a terminal does not want to wait; nothing is answered any more, and no trace is shown."""
    ended = []
    monkeypatch.setattr(os, "_exit", ended.append)
    server = Server(uvicorn.Config(None), 0, 0, on_notice=lambda: None, on_late=lambda: None, on_hangup=lambda: None)
    server.handle_exit(signal.SIGINT, None)
    assert server.should_exit and ended == []
    server.handle_exit(signal.SIGINT, None)
    assert ended == [130]


def test_what_is_accepted_sends_at_once():
    """Otherwise the body of every answer on a kept connection waits for the receipt of its head."""
    with bound_socket(uvicorn.Config(None, port=0)) as listener:
        listener.listen()
        with socket.create_connection(listener.getsockname()) as _, listener.accept()[0] as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
