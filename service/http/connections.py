"""How long a client may take, and how many there may be: what uvicorn leaves open.

uvicorn closes a connection that is idle after an answer. It waits for ever for the first request on a new connection,
for a head that comes a byte at a time, and for a client that does not read.
"""

import asyncio
import resource
from collections import OrderedDict
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import h11
import structlog
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from service.http.problems import Problem

log = structlog.get_logger(__name__)

RESERVED_FILES = 100  # file descriptors that are for other things than connections


@dataclass(frozen=True)
class Clients:
    """What the connections of one server share.

    client_seconds   to send the head of a request, and to read more of what was written
    max_connections  open at once; past it the one that has been idle longest is closed
    unasked          those with no request to answer, the one that has had none for longest first
    """

    client_seconds: float
    max_connections: int
    unasked: OrderedDict["Connection", None] = field(default_factory=OrderedDict)


class Connection(H11Protocol):
    """One client's connection: uvicorn's HTTP/1.1 with limits. (A body's time is `BodyLimit`'s.)"""

    def __init__(
        self,
        clients: Clients,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ):
        super().__init__(config, server_state, app_state, _loop)
        self._clients = clients
        self._waits_for_head: asyncio.TimerHandle | None = None
        self._waits_for_reader: asyncio.TimerHandle | None = None
        self._unread = 0  # bytes, when the reader's time began
        self._refused = False  # what still comes is of no interest

    @property
    def idle(self) -> bool:
        """Of one that is unasked: is no answer still unread?"""
        return not self.transport.get_write_buffer_size() and not self.transport.is_closing()

    @property
    def _between_requests(self) -> bool:
        """Is the last request answered and read to its end, and nothing there of a next one?"""
        return self.conn.our_state is self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()
        if len(self.connections) > self._clients.max_connections and not _close_idlest(self._clients.unasked):
            log.warning("connection refused: there are too many", connections=len(self.connections))
            self.refuse(Problem(503, "there are too many connections; try again later", headers={"Retry-After": "5"}))
            self.close()  # a flood is not waited for
        else:
            self._clients.unasked[self] = None

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._waits_for_head, self._waits_for_reader):
            if timer is not None:
                timer.cancel()
        self._unset_keepalive_if_required()  # uvicorn leaves it where the client has reset the connection
        self._clients.unasked.pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self.timeout_keep_alive_task is not None:  # the first bytes after an answer
            self._await_head()
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            self._clients.unasked.pop(self, None)
            self._stop_waiting_for_head()
        elif self._waits_for_head is not None and self._between_requests:
            # The rest of a body has come that was answered before: idle, as after any answer.
            self._stop_waiting_for_head()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def handle_events(self) -> None:
        if self.conn.their_state is h11.IDLE:
            # Old clients end a body with an empty line that is not counted; a server ignores it (RFC 9112 2.2).
            while (begun := self.conn.trailing_data[0]).startswith((b"\r\n", b"\n")):
                self.conn._receive_buffer.maybe_extract_lines()  # an empty line, and no more
            if begun == b"\r":
                return
        before = self.cycle
        super().handle_events()
        if self.cycle is not before and {b"content-length", b"transfer-encoding"} <= {name for name, _ in self.headers}:
            # Whoever stands before this may see another end of the body: no further request is read (RFC 9112 6.1).
            self.cycle.scope["headers"] = [*self.headers, (b"connection", b"close")]

    def _should_upgrade(self) -> bool:
        return False  # such as Java's offer of HTTP/2: one goes on as one was; uvicorn would warn of it each time

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete and not self.transport.is_closing():  # it may have asked again meanwhile
            self._clients.unasked[self] = None
        if self.cycle.response_complete and self.conn.their_state is h11.SEND_BODY:
            self._await_head()  # answered before the whole body came: the rest is not waited for any longer than that
        if self.transport.is_closing():
            self._await_reader()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._await_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._waits_for_reader is not None and not self._refused and not self.transport.is_closing():
            self._waits_for_reader.cancel()
            self._waits_for_reader = None

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._await_reader()

    def send_400_response(self, msg: str) -> None:
        self.refuse(Problem(400, "this is no HTTP/1.1 request, or its head is larger than 64 KiB"))

    def refuse(self, problem: Problem) -> None:
        """Answer what never became a request, as far as that is still possible, and end the connection.

        The client has as long as it may take to read the answer and close. Closed at once, with something of it unread,
        the connection would be reset, and the answer might be lost on its way (RFC 9112, section 9.6).
        """
        if self.cycle is not None and not self.cycle.response_complete:  # whoever reads its body
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.close()
            return
        answer = problem.response()
        headers = [*answer.raw_headers, (b"connection", b"close")]
        reason = HTTPStatus(problem.status).phrase.encode()
        events = (
            h11.Response(status_code=problem.status, headers=headers, reason=reason),
            h11.Data(data=bytes(answer.body)),
            h11.EndOfMessage(),
        )
        self.transport.write(b"".join(self.conn.send(event) for event in events))
        self.transport.write_eof()
        self._refused = True
        self._clients.unasked[self] = None  # it makes room for others
        self._stop_waiting_for_head()
        self._await_reader()

    def close(self) -> None:
        """As soon as what was written is read, or nothing of it has been for as long as a client may take."""
        self._clients.unasked.pop(self, None)
        self.transport.close()
        self._await_reader()

    def _await_head(self) -> None:
        if self._waits_for_head is None:
            self._waits_for_head = self.loop.call_later(self._clients.client_seconds, self._give_up_on_head)

    def _stop_waiting_for_head(self) -> None:
        if self._waits_for_head is not None:
            self._waits_for_head.cancel()
            self._waits_for_head = None

    def _give_up_on_head(self) -> None:
        self._waits_for_head = None
        begun = self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]
        if begun:
            log.info("connection closed: the head of a request came too slowly")
            self.refuse(Problem(408, f"the request's head did not come within {self._clients.client_seconds:g} s"))
        else:
            self.close()

    def _await_reader(self) -> None:
        if self._waits_for_reader is None:
            self._unread = self.transport.get_write_buffer_size()
            self._waits_for_reader = self.loop.call_later(self._clients.client_seconds, self._give_up_on_reader)

    def _give_up_on_reader(self) -> None:
        self._waits_for_reader = None
        unread = self.transport.get_write_buffer_size()
        if unread < self._unread:  # it does read: an answer that was written in one piece may take as long as it takes
            self._await_reader()
            return
        if unread:
            log.info("connection closed: the client does not read", unread=unread)
        self.transport.abort()


def _close_idlest(unasked: OrderedDict[Connection, None]) -> bool:
    """Close the one that has been idle longest, if any is; without a look at all of them, in a flood of new ones."""
    for one in unasked:
        if one.idle:
            one.close()
            return True
    return False


def connections_that_fit(wanted: int) -> int:
    """Raise this process's limit of open files as far as it may be; of `wanted` connections, how many that allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + RESERVED_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    fit = wanted if soft == resource.RLIM_INFINITY else max(1, min(wanted, soft - RESERVED_FILES))
    if fit < wanted:
        log.warning("fewer connections than asked for: this process may not open more files", connections=fit)
    return fit
