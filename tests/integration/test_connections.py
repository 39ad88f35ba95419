"""Slow clients, silent ones, and too many: over real sockets, before an app that does what the test wants."""

import asyncio
import contextlib
import json
import logging
import resource
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest
import uvicorn

from service.http.connections import RESERVED_FILES, Clients, Connection, connections_that_fit
from tests.waiting import wait_for

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"  # and no body yet
PATIENCE = 0.4  # seconds that a client may take which is to be given up …
UNHURRIED = 2.0  # … and one whose bytes must come in time, on a busy machine too
LONG = 20.0  # seconds after which a test is lost


async def hello(scope, receive, send):
    """Answers without having read the body."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


class Served:
    """A server, and sockets to it that are closed in the end."""

    def __init__(self, server: uvicorn.Server, port: int, clients: Clients):
        self.server, self.clients = server, clients
        self._port = port
        self._sockets: list[socket.socket] = []

    def connect(self, sent: bytes = b"", receive_buffer: int | None = None) -> socket.socket:
        client = socket.socket()
        self._sockets.append(client)
        if receive_buffer is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.settimeout(LONG)
        client.connect(("127.0.0.1", self._port))
        client.sendall(sent)
        return client

    @property
    def connections(self) -> int:
        return len(self.server.server_state.connections)

    def wait_for(self, connections: int) -> None:
        deadline = time.monotonic() + LONG
        while self.connections != connections:
            assert time.monotonic() < deadline, f"{self.connections} connections, not {connections}"
            time.sleep(0.01)

    def end(self) -> None:
        for client in self._sockets:
            client.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    def start(app=hello, max_connections: int = 100, keep_alive: int = 60, patience: float = PATIENCE) -> Served:
        clients = Clients(patience, max_connections)
        config = uvicorn.Config(
            app, http=partial(Connection, clients), ws="none", log_config=None,
            timeout_keep_alive=keep_alive, timeout_graceful_shutdown=1, lifespan="off", port=0,
        )  # fmt: skip
        listener = config.bind_socket()
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        running.callback(thread.join, LONG)
        running.callback(setattr, server, "should_exit", True)
        served = Served(server, listener.getsockname()[1], clients)
        running.callback(served.end)
        wait_for(lambda: server.started, LONG, every=0.01)
        return served

    with contextlib.ExitStack() as running:
        yield start


def read_hello(client: socket.socket) -> None:
    """One answer of `hello`, and not a byte more than that."""
    found = b""
    while not found.endswith(b"hello"):
        piece = client.recv(1)
        assert piece, f"closed after {found!r}"
        found += piece
    assert found.startswith(b"HTTP/1.1 200")


def everything(client: socket.socket) -> bytes:
    """What still comes until the connection is closed."""
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := client.recv(65536):
            found += piece
    return found


def problem(answer: bytes) -> dict:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head and b"connection: close" in head
    return json.loads(body)


def trickle(client: socket.socket, sent: bytes) -> None:
    """A byte at a time, each much sooner than a client may take, until the other side has had enough."""
    with contextlib.suppress(OSError):
        for byte in sent:
            client.sendall(bytes([byte]))
            time.sleep(PATIENCE / 10)


@pytest.mark.parametrize("before", [b"", GET])
def test_a_head_that_comes_a_byte_at_a_time_is_given_up(serve, before):
    client = serve(patience=UNHURRIED).connect(before)
    if before:
        read_hello(client)
    trickle(client, b"GET / HTTP/1.1\r\nX-Long: " + b"x" * 30)
    answer = everything(client)
    assert answer.startswith(b"HTTP/1.1 408") and "head" in problem(answer)["detail"]


def test_a_connection_on_which_nothing_comes_is_closed_in_silence(serve):
    assert everything(serve().connect()) == b""


@pytest.mark.parametrize(("sent", "rest"), [(GET, b""), (POST, b"x" * 1000)], ids=["GET", "POST"])
def test_a_connection_that_is_idle_after_an_answer_is_kept_as_long_as_idle_ones_are(serve, sent, rest):
    longer = serve(keep_alive=60, patience=UNHURRIED).connect(sent)
    read_hello(longer)
    longer.sendall(rest)  # of a body that was answered before it came
    shorter = serve(keep_alive=1, patience=60).connect(sent)
    read_hello(shorter)
    shorter.sendall(rest)
    assert everything(shorter) == b""
    time.sleep(1.5 * UNHURRIED)
    longer.sendall(GET)
    read_hello(longer)


def test_the_rest_of_a_body_that_nobody_reads_is_not_waited_for(serve):
    served = serve()
    client = served.connect(POST)
    sending = threading.Thread(target=trickle, args=(client, b"x" * 60))
    sending.start()
    assert everything(client).endswith(b"hello")
    sending.join()
    served.wait_for(0)


def test_a_client_that_never_reads_is_let_go_and_the_app_hears_of_it(serve):
    heard = threading.Event()

    async def endless(scope, receive, send):
        async def listen():
            while (await receive())["type"] != "http.disconnect":
                pass
            heard.set()

        listening = asyncio.create_task(listen())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while not heard.is_set():
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
        await listening

    served = serve(endless)
    client = served.connect(GET, receive_buffer=4096)
    assert heard.wait(LONG)
    served.wait_for(0)
    client.close()


@pytest.mark.parametrize("close", [b"", b"Connection: close\r\n"])
def test_an_answer_that_is_never_read_is_let_go(serve, close):
    answered = threading.Event()

    async def large(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"16000000")]})
        await send({"type": "http.response.body", "body": b"x" * 16_000_000})
        answered.set()

    served = serve(large)
    served.connect(b"GET / HTTP/1.1\r\nHost: x\r\n" + close + b"\r\n", receive_buffer=4096)
    assert answered.wait(LONG)
    served.wait_for(0)


@pytest.mark.parametrize(("pieces", "size"), [(12, 1_000_000), (1, 12_000_000)])
def test_a_client_that_reads_as_it_can_gets_everything_however_long_that_is(serve, pieces, size):
    async def pieced(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
        for piece in range(pieces):
            await send({"type": "http.response.body", "body": bytes([piece]) * size, "more_body": piece < pieces - 1})

    client = serve(pieced, patience=UNHURRIED).connect(GET, receive_buffer=65536)
    found, began = b"", time.monotonic()
    while piece := client.recv(250_000):
        found += piece
        # At this pace it takes twice as long as nothing may happen.
        time.sleep(max(0.0, began + 2 * UNHURRIED * len(found) / (pieces * size) - time.monotonic()))
    assert found.count(bytes([pieces - 1])) == size


def test_past_the_most_connections_the_one_idle_longest_makes_room(serve):
    served = serve(max_connections=3)
    clients = []
    for number in range(3):
        clients.append(served.connect(GET))
        read_hello(clients[-1])
        served.wait_for(number + 1)
    clients[0].sendall(GET)  # now the second has been idle longest
    read_hello(clients[0])
    read_hello(served.connect(GET))
    everything(clients[1])
    served.wait_for(3)
    for client in (clients[0], clients[2]):
        client.sendall(GET)
        read_hello(client)


def test_who_was_refused_makes_room_too(serve):
    served = serve(max_connections=3, patience=LONG)
    refused = [served.connect(b"HELLO\r\n\r\n") for _ in range(3)]
    for client in refused:
        assert client.recv(65536).startswith(b"HTTP/1.1 400")
    for _ in range(3):
        read_hello(served.connect(GET))
    served.wait_for(3)


def test_room_is_made_without_a_look_at_all_that_there_are(serve, monkeypatch):
    served = serve(max_connections=50, patience=LONG)
    for number in range(50):
        served.connect()
        served.wait_for(number + 1)
    looks, idle = [], Connection.idle
    monkeypatch.setattr(Connection, "idle", property(lambda one: looks.append(one) or idle.fget(one)))
    for _ in range(50):
        read_hello(served.connect(GET))
    assert len(looks) == 50
    served.wait_for(50)
    served.end()
    served.wait_for(0)
    assert not served.clients.unasked


def test_of_a_connection_that_is_reset_nothing_stays(serve):
    served = serve()
    client = served.connect(GET)
    read_hello(client)
    (connection,) = served.server.server_state.connections
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    served.wait_for(0)
    assert connection.timeout_keep_alive_task is None and not served.clients.unasked


def test_where_all_are_busy_a_newcomer_is_told_so(serve):
    busied, release = threading.Semaphore(0), threading.Event()

    async def busy(scope, receive, send):
        busied.release()
        await asyncio.to_thread(release.wait, LONG)
        await hello(scope, receive, send)

    served = serve(busy, max_connections=2)
    clients = [served.connect(GET) for _ in range(2)]
    assert busied.acquire(timeout=LONG) and busied.acquire(timeout=LONG)
    answer = everything(served.connect(GET))
    release.set()
    assert answer.startswith(b"HTTP/1.1 503") and b"retry-after: 5" in answer
    assert "too many connections" in problem(answer)["detail"]
    for client in clients:
        read_hello(client)


@pytest.mark.parametrize("sent", [b"HELLO\r\n\r\n", b"\x16\x03\x01\x02\x00", b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000])
def test_what_is_no_http_is_answered_and_closed(serve, sent):
    answer = everything(serve().connect(sent))
    assert answer.startswith(b"HTTP/1.1 400") and "head" in problem(answer)["detail"]


def test_who_goes_on_sending_what_is_refused_can_read_why(serve):
    served = serve(patience=UNHURRIED)
    client = served.connect(b"HELLO\r\n\r\n")
    answer = client.recv(65536)
    for _ in range(3):
        client.sendall(b"more\r\n\r\n")  # this is where a reset would be heard of
        time.sleep(0.05)
    while piece := client.recv(65536):
        answer += piece
    assert answer.startswith(b"HTTP/1.1 400") and "head" in problem(answer)["detail"]
    served.wait_for(0)  # though the client does not close


def test_a_body_that_breaks_while_it_is_read_ends_the_request(serve):
    heard = threading.Event()

    async def reading(scope, receive, send):
        while (await receive())["type"] != "http.disconnect":
            pass
        heard.set()

    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = everything(serve(reading).connect(head + b"5\r\nhello\r\nno number\r\n"))
    assert answer.startswith(b"HTTP/1.1 400") and heard.wait(LONG)


@pytest.mark.parametrize(
    ("soft", "hard", "raised", "fit"),
    [
        (1024, 8192, 4000 + RESERVED_FILES, 4000),
        (1024, 2048, 2048, 2048 - RESERVED_FILES),
        (100_000, 100_000, None, 4000),
        (1024, resource.RLIM_INFINITY, 4000 + RESERVED_FILES, 4000),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, None, 4000),
    ],
)
def test_the_limit_of_open_files_is_raised_as_far_as_needed_and_possible(monkeypatch, soft, hard, raised, fit):
    changed = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: changed.append(limits))
    assert connections_that_fit(4000) == fit
    assert changed == ([] if raised is None else [(raised, hard)])


async def target_and_body(scope, receive, send):
    """Answers with what was asked, after the whole body."""
    asked = f"{scope['method']} {scope['path']} ".encode()
    while (message := await receive())["type"] == "http.request":
        asked += message["body"]
        if not message["more_body"]:
            break
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(asked))]})
    await send({"type": "http.response.body", "body": asked})


CHUNKED = b"Transfer-Encoding: chunked\r\n"


@pytest.mark.parametrize("pieces", [[b"\r\n" + GET], [b"\r\n", GET], [b"\r", b"\n\r\n" + GET], [b"\n\n" + GET]])
def test_an_empty_line_after_a_body_is_no_request(serve, pieces):
    """Old clients end a body with one that they do not count."""
    client = serve(target_and_body).connect(b"POST /one HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1")
    assert read_until(client, b"POST /one 1").count(b"HTTP/1.1 200") == 1
    for piece in pieces:
        client.sendall(piece)
        time.sleep(0.02)
    assert read_until(client, b"GET / ").startswith(b"HTTP/1.1 200")


def test_so_it_is_where_both_come_at_once(serve):
    """Before an answer is there, and after."""
    request = b"POST /one HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1\r\n"
    client = serve(target_and_body).connect(request * 3 + GET)
    assert read_until(client, b"GET / ").count(b"HTTP/1.1 200") == 4


def test_a_body_of_two_lengths_is_the_last_of_its_connection(serve):
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n" + CHUNKED + b"\r\n"
    client = serve(target_and_body).connect(head + b"1\r\na\r\n0\r\n\r\n" + GET)
    told = everything(client)
    assert told.endswith(b"POST / a") and b"connection: close" in told.lower()
    kept = serve(target_and_body).connect(
        b"POST / HTTP/1.1\r\nHost: x\r\n" + CHUNKED + b"\r\n1\r\na\r\n0\r\n\r\n" + GET
    )
    assert b"close" not in read_until(kept, b"GET / ").lower()


def test_an_offer_of_another_protocol_is_passed_over_in_silence(serve, caplog):
    """As Java's client offers HTTP/2 on each new connection."""
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk\r\n"
    client = serve(target_and_body).connect(b"GET / HTTP/1.1\r\nHost: x\r\n" + offer + b"\r\n")
    assert read_until(client, b"GET / ").startswith(b"HTTP/1.1 200")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def read_until(client: socket.socket, end: bytes) -> bytes:
    found = b""
    while not found.endswith(end):
        piece = client.recv(65536)
        assert piece, f"closed after {found!r}"
        found += piece
    return found
