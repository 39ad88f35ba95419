"""uvicorn, with a notice before it closes: on SIGTERM the port stays open for a while and answers 503."""

import asyncio
import math
import os
import signal
import socket
import time
from collections.abc import Callable
from types import FrameType

import uvicorn

LEFT_TO_SEND = 5  # seconds, for answers to arrive at their readers


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
    ends the process, whatever is still to be answered. SIGHUP calls `on_hangup`, on the event loop.

    `on_late` is called `drain_seconds` after the port has closed, to answer what is left: uvicorn itself would break it
    off LEFT_TO_SEND later, with a 500 and a trace.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        notice_seconds: float,
        drain_seconds: float,
        on_notice: Callable[[], None],
        on_late: Callable[[], None],
        on_hangup: Callable[[], None],
    ):
        super().__init__(config)
        config.timeout_graceful_shutdown = math.ceil(drain_seconds) + LEFT_TO_SEND
        self._notice_seconds = notice_seconds
        self._drain_seconds = drain_seconds
        self._on_notice = on_notice
        self._on_late = on_late
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

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        late = asyncio.get_running_loop().call_later(self._drain_seconds, self._on_late)
        await super().shutdown(sockets)
        late.cancel()

    async def on_tick(self, counter: int) -> bool:
        if time.monotonic() >= self._closes_at:
            self.should_exit = True
        return await super().on_tick(counter)
