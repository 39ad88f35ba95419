"""uvicorn, with a notice before it closes: on SIGTERM the port stays open for a while and answers 503."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable
from types import FrameType

import uvicorn


def bound_socket(config: uvicorn.Config) -> socket.socket:
    """The socket to listen on. Raises SystemExit, once uvicorn has logged why, if the address cannot be had.

    What it accepts sends at once: an answer's body must not wait for the receipt of its head, 40 ms on a connection
    that is kept. asyncio does not see to it, because uvicorn's socket does not name its protocol.
    """
    listener = config.bind_socket()
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


class Server(uvicorn.Server):
    """The first SIGTERM calls `on_notice`, and the port closes `notice_seconds` later; balancers have seen by then that
    `/readyz` answers 503. SIGINT (a person at a terminal) and a second SIGTERM close it at once. A SIGINT after that
    ends the process, whatever is still to be answered. SIGHUP calls `on_hangup`, on the event loop."""

    def __init__(
        self,
        config: uvicorn.Config,
        notice_seconds: float,
        on_notice: Callable[[], None],
        on_hangup: Callable[[], None],
    ):
        super().__init__(config)
        self._notice_seconds = notice_seconds
        self._on_notice = on_notice
        self._on_hangup = on_hangup
        self._closes_at = float("inf")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig == signal.SIGINT and self.should_exit:
            os._exit(128 + sig)  # uvicorn's own way is an answer of 500, and a trace for everything that it breaks off
        if sig == signal.SIGTERM and self._closes_at == float("inf") and not self.should_exit:
            self._closes_at = time.monotonic() + self._notice_seconds
            self._on_notice()
        else:
            super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._on_hangup)

    async def on_tick(self, counter: int) -> bool:
        if time.monotonic() >= self._closes_at:
            self.should_exit = True
        return await super().on_tick(counter)
