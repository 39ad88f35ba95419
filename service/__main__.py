"""`python -m service`: serve until told to stop."""

from service.launch import prepare, write_what_can_be_written

if __name__ == "__main__":
    prepare()  # before what takes seconds to import

import asyncio
import signal
import sys
from functools import partial
from typing import cast

import structlog
import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError
from pydantic_settings import CliApp, SettingsError

from service import logs
from service.app import NothingToServe, create_app
from service.checkpoints.hub import HubError, local_folder
from service.engine.hardware import keep_freed_memory
from service.http.connections import Clients, Connection, connections_that_fit
from service.http.server import Server, bound_socket
from service.key_file import KeysError
from service.settings import Settings
from service.state import State

log = structlog.get_logger("service")

SECRET = ("api_key", "webhook_secret", "jobs", "results", "traces")  # an address may have a password in it


def main() -> int:
    write_what_can_be_written()
    try:
        settings = CliApp.run(Settings)
    except (ValidationError, SettingsError) as error:
        print(f"python -m service: {_explain(error)}", file=sys.stderr)
        return 2
    logs.configure(settings.log_format)
    keep_freed_memory()
    died = False

    def end() -> None:
        nonlocal died
        died = True
        config.timeout_graceful_shutdown = 1  # nothing that waits for the engine will ever be answered
        server.should_exit = True

    def drain() -> None:
        if (state := _state_of(app)) is not None:
            state.engine.drain()

    def break_off() -> None:
        if (state := _state_of(app)) is not None:
            state.engine.break_off()
            state.bodies.break_off()

    try:
        settings = settings.model_copy(update={"checkpoints": local_folder(settings.checkpoints)})
        app = create_app(settings, on_death=end)
    except (HubError, KeysError, NothingToServe) as error:
        print(f"python -m service: {error}", file=sys.stderr)
        return 2
    clients = Clients(settings.client_seconds, connections_that_fit(settings.max_connections))
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=cast(type[asyncio.Protocol], partial(Connection, clients)),  # uvicorn calls it, class or not
        ws="none",
        log_config=None,
        access_log=False,  # RequestContext writes one line a request, with its id
        server_header=False,
        timeout_keep_alive=settings.keep_alive_seconds,
    )

    def reload() -> None:
        if server.started and not server.should_exit:
            try:
                app.state.spirale.keys.reload()
            except KeysError as error:
                log.error("keys not reloaded, the old ones stay", reason=str(error))
            app.state.spirale.reloader.schedule()

    server = Server(
        config, settings.notice_seconds, settings.drain_seconds, on_notice=drain, on_late=break_off, on_hangup=reload
    )
    try:
        listener = bound_socket(config)  # before the engine's thread is there, which would not end cleanly
    except SystemExit:  # uvicorn has logged why
        where = f"{settings.host}, port {settings.port}"
        print(f"python -m service: cannot listen on {where}; --port takes another", file=sys.stderr)
        return 1
    # uvicorn raises the signal that stopped it once more when it is done: a clean end is no death by signal.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    server.run(sockets=[listener])
    return 1 if died or not server.started else 0


def _state_of(app: FastAPI) -> State | None:
    """None before the app has started."""
    state: State | None = getattr(app.state, "spirale", None)
    return state


def _explain(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    told = []
    for entry in error.errors():
        message = entry["msg"].removeprefix("Value error, ")
        if not entry["loc"]:  # of several settings together
            told.append(message)
            continue
        name = str(entry["loc"][0])
        given = "" if name in SECRET else f" (given: {entry['input']!r})"
        told.append(f"--{name.replace('_', '-')} or SPIRALE_{name.upper()}: {message}{given}")
    return "; ".join(told)


if __name__ == "__main__":
    sys.exit(main())
