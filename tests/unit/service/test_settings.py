"""What an operator may set, and what is said of a wrong value."""

import io
import socket
import sys
import threading

import pytest
from pydantic import ValidationError

from service import __main__ as command
from service.settings import Settings
from tests.tiny import POINTS, save_tiny


def test_the_environment_and_flags_say_the_same(monkeypatch):
    monkeypatch.setenv("SPIRALE_BATCH_SIZES", "16,4")
    assert Settings().batch_sizes == (4, 16)
    assert Settings(_cli_parse_args=["--batch-sizes", "8,2"]).batch_sizes == (2, 8)


def test_a_list_may_have_spaces_after_its_commas(monkeypatch):
    monkeypatch.setenv("SPIRALE_CORS_ORIGINS", "https://a.example, http://b.example:8080 ,")
    assert Settings().cors_origins == ("https://a.example", "http://b.example:8080")


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch):
    monkeypatch.setenv("SPIRALE_API_KEY", "")
    monkeypatch.setenv("SPIRALE_PORT", "")
    assert Settings().api_key is None and Settings().port == 8000


@pytest.mark.parametrize("link", ["tcp://10.43.12.7:8000", "udp://10.43.12.7:8000", "sctp://[fd00::7]:8000"])
def test_what_kubernetes_puts_beside_a_service_named_spirale_is_no_setting(monkeypatch, link):
    monkeypatch.setenv("SPIRALE_SERVICE_HOST", "10.43.12.7")
    monkeypatch.setenv("SPIRALE_SERVICE_PORT", "8000")
    monkeypatch.setenv("SPIRALE_PORT_8000_TCP", link)
    monkeypatch.setenv("SPIRALE_PORT", link)
    monkeypatch.setenv("SPIRALE_HOST", link)
    assert (Settings().port, Settings().host) == (8000, "127.0.0.1")
    assert Settings(_cli_parse_args=["--port", "9000"]).port == 9000
    with pytest.raises(ValidationError):  # a flag comes from nobody but the operator
        Settings(_cli_parse_args=["--port", link])
    monkeypatch.setenv("SPIRALE_PORT", "8001")
    assert Settings().port == 8001


@pytest.mark.parametrize(
    "flags",
    [["--port", "x"], ["--device", "abacus"], ["--device", "cuda:99"], ["--batch-sizes", "4,x"], ["--threads", "-1"],
     ["--batch-sizes", "1,2"],  # a guided row that follows a hint costs four evaluations of one tick
     ["--precision", "float8"],
     ["--cors-origins", "https://a.example/page"], ["--cors-origins", "a.example"], ["--client-seconds", "0"],
     ["--drain-seconds", "inf"], ["--deadline-seconds", "nan"], ["--notice-seconds", "1e9"],
     ["--jobs-keep-days", "inf"], ["--jobs-keep-days", "nan"], ["--jobs-keep-days", "1e7"],
     ["--webhook-hosts", "https://a.example"]],
)  # fmt: skip
def test_a_wrong_value_is_named_with_its_flag_and_ends_the_process_with_2(flags, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["service", *flags])
    assert command.main() == 2
    told = capsys.readouterr().err
    assert flags[0] in told and "Traceback" not in told


def test_what_cannot_be_compiled_is_said_before_anything_is_started(monkeypatch, capsys):
    for compiler in ("no-such-compiler", "no-such-cache g++"):
        monkeypatch.setenv("CXX", compiler)
        monkeypatch.setattr("sys.argv", ["service", "--compile"])
        assert command.main() == 2
        told = capsys.readouterr().err
        assert "--compile" in told and f"no C++ compiler '{compiler}' here" in told
    monkeypatch.setenv("CXX", f"{sys.executable} g++")  # a wrapper, as ccache is one
    assert Settings(compile=True).compile


def test_a_port_in_use_is_said_before_anything_is_started(tmp_path, monkeypatch, caplog, capsys):
    def engines() -> int:
        return sum(thread.name == "engine" for thread in threading.enumerate())

    before = engines()
    save_tiny(tmp_path, POINTS)
    monkeypatch.setattr(command.logs, "configure", lambda form: None)  # the log is the test's
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        monkeypatch.setattr("sys.argv", ["service", "--checkpoints", str(tmp_path), "--port", port])
        assert command.main() == 1
    assert "in use" in caplog.text and port in capsys.readouterr().err
    assert engines() == before


def test_a_help_text_is_written_in_an_encoding_that_lacks_its_characters(monkeypatch):
    """A pipe, or a terminal of Latin-1: the help's `…` is none of it."""
    written = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr("sys.stdout", written)
    monkeypatch.setattr("sys.argv", ["service", "--help"])
    with pytest.raises(SystemExit) as ended:
        command.main()
    written.flush()
    assert ended.value.code == 0 and b"\\u2026" in written.buffer.getvalue()


def test_a_secret_that_could_be_guessed_is_refused(monkeypatch):
    monkeypatch.setenv("SPIRALE_WEBHOOK_SECRET", "hush")
    with pytest.raises(ValidationError, match="at least 16 characters is needed, and this one has 4"):
        Settings()


def test_a_key_is_never_shown():
    with pytest.raises(ValidationError) as error:
        Settings(api_key="sesame", port="x")
    assert "sesame" not in command._explain(error.value) + repr(Settings(api_key="sesame"))


@pytest.mark.parametrize("address", [{"jobs": "mysql://joe:hunter2@db/x"}, {"traces": "http://joe:hunter2@h/x"}])
def test_a_password_in_an_address_is_never_shown(address):
    with pytest.raises(ValidationError) as error:
        Settings(**address)
    told = command._explain(error.value)
    assert f"--{next(iter(address))} or SPIRALE_" in told and "hunter2" not in told


def test_int8_is_for_cpus_by_onnx():
    assert Settings(precision="int8").backend == "onnx"
    with pytest.raises(ValidationError, match="torch has no int8"):
        Settings(precision="int8", backend="torch")
