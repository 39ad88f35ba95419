"""Structured logs: for people on a console, or a JSON object a line."""

import logging
import sys
from io import StringIO
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger


def configure(form: Literal["console", "json"]) -> None:
    """The same form for our own lines and for the libraries'."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if form == "console":
        shared.append(_printable)
    # Plain traces: a pretty one shows local variables, and with them what was asked and any secret.
    last: list[Processor] = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=_plain)]
    if form == "json":
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells each thing that it sets up


def _printable(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """A client's text, such as a path, may have commands for the terminal in it."""
    return {name: _escaped(value) if isinstance(value, str) else value for name, value in event.items()}


def _plain(file: TextIO, trace: ExcInfo) -> None:
    """A plain traceback: its message may repeat what a client sent."""
    told = StringIO()
    structlog.dev.plain_traceback(told, trace)
    file.write(_escaped(told.getvalue()))


def _escaped(text: str) -> str:
    """Lines stay lines: a library's message may have several."""
    return "".join(each if each.isprintable() or each == "\n" else repr(each)[1:-1] for each in text)
