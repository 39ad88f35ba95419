"""Lines of the log, on a console."""

import logging

import pytest
import structlog

from service import logs


@pytest.fixture
def configured():
    """The log is the tests' own again afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield logs.configure
    structlog.reset_defaults()
    root.handlers[:], root.level = handlers, level


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_clients_text_gives_a_terminal_no_commands(configured, capfd, form):
    configured(form)
    structlog.get_logger("service.access").info("request", path="/\x1b[31mred\x07\x9b1m", method="GET", ms=1.5)
    logging.getLogger("library").warning("of %s", "\x1b]0;a title\x07")
    told = capfd.readouterr().err
    assert "/\\x1b[31mred\\x07" in told.replace("\\u00", "\\x") and "GET" in told
    assert all(line.isprintable() for line in told.splitlines()) and len(told.splitlines()) == 2


def test_a_trace_stays_readable(configured, capfd):
    configured("console")
    try:
        raise RuntimeError("a bug \x1b[31mred")
    except RuntimeError as error:
        structlog.get_logger("service").error("request failed", path="/ü", exc_info=error)
    told = capfd.readouterr().err
    assert "/ü" in told and '\n    raise RuntimeError("a bug \\x1b[31mred")\n' in told
    assert told.endswith("RuntimeError: a bug \\x1b[31mred\n")
